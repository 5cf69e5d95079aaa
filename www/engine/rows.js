/**
 * Reading files of findings in the sealed worker: from a file to rows, a piece at a time, as the native program
 * reads them. The rows are pulled, so that whoever stores them sets the pace.
 */
import { RowReader, previewRows, rougeScores } from '../pkg/radllama.js';
import { RadllamaError } from './errors.js';

/** Bytes that a preview looks at. */
const PREVIEW_BYTES = 256 * 1024;
/** Rows that are handed over at a time. */
const MOST_ROWS = 200;
// No text has this byte in UTF-8: the row in which something could not be decoded becomes an error.
const UNDECODABLE = Uint8Array.of(0xff);

/** The files that are being read, by a number. */
const readings = new Map();
let lastReading = 0;

/**
 * The beginning of a file: its format, columns, first rows, and which column seems to be what.
 * @param {{ file: File, encoding?: string, options?: object }} args
 */
export async function peekRows({ file, encoding, options }) {
  const source = await decoded(file, encoding);
  const head = [];
  let bytes = 0;
  let ended = false;
  while (bytes < PREVIEW_BYTES && !ended) {
    const piece = await source.next();
    if (!piece) ended = true;
    else head.push(piece), (bytes += piece.length);
  }
  await source.close();
  const whole = new Uint8Array(await new Blob(head).arrayBuffer());
  return { ...previewRows(file.name, whole, ended, JSON.stringify(options ?? {})), encoding: source.encoding };
}

/**
 * Begins to read a file; `nextRows` goes on, `closeRows` ends it.
 * @param {{ file: File, encoding?: string, options?: object }} args
 * @returns {Promise<number>}
 */
export async function openRows({ file, encoding, options }) {
  const reader = new RowReader(file.name, JSON.stringify(options ?? {}));
  readings.set(++lastReading, { reader, source: await decoded(file, encoding), rows: [], ended: false });
  return lastReading;
}

/**
 * @param {{ reading: number }} args
 * @returns {Promise<{ rows: object[], ended: boolean, bytes: number }>} `bytes`: of the file, so far
 */
export async function nextRows({ reading }) {
  const state = readings.get(reading);
  if (!state) throw new RadllamaError('internal', 'no such file is open');
  while (state.rows.length === 0 && !state.ended) {
    const piece = await state.source.next();
    state.ended = !piece;
    const rows = piece ? state.reader.push(piece) : state.reader.end();
    for (const row of rows) state.rows.push(row);
  }
  const rows = state.rows.splice(0, MOST_ROWS);
  const ended = state.ended && state.rows.length === 0;
  if (ended) await closeRows({ reading });
  return { rows, ended, bytes: state.source.bytes() };
}

/** @param {{ reading: number }} args */
export async function closeRows({ reading }) {
  const state = readings.get(reading);
  readings.delete(reading);
  state?.reader.free();
  await state?.source.close();
}

/** ROUGE-1, -2 and -L of an impression. @param {{ reference: string, impression: string }} args */
export function scoreRow({ reference, impression }) {
  return [...rougeScores(reference, impression)];
}

/** A file's bytes in UTF-8, piece by piece: gunzipped, and decoded where they are in another encoding. */
async function decoded(file, label) {
  const magic = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const gzipped = magic[0] === 0x1f && magic[1] === 0x8b;
  let read = 0;
  const counted = new TransformStream({
    transform(piece, control) {
      read += piece.length;
      control.enqueue(piece);
    },
  });
  const counting = file.stream().pipeThrough(counted);
  const stream = (gzipped ? counting.pipeThrough(new DecompressionStream('gzip')) : counting).getReader();
  const first = await next();
  const encoding = label || sniffed(first);
  const decoder = encoding === 'utf-8' ? null : decoderOf(encoding);
  let waiting = [first];
  async function next() {
    const { value, done } = await stream.read();
    return done ? null : value;
  }
  return {
    encoding,
    bytes: () => read,
    async next() {
      const piece = waiting.length ? waiting.pop() : await next();
      if (!decoder) return piece;
      if (!piece) {
        const rest = decoder.ended ? '' : decoder.decode();
        decoder.ended = true;
        return rest ? utf8(rest) : null;
      }
      return utf8(decoder.decode(piece, { stream: true }));
    },
    close: () => stream.cancel().catch(() => {}),
  };
}

function sniffed(bytes) {
  if (bytes?.[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes?.[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  return 'utf-8';
}

function decoderOf(label) {
  try {
    return new TextDecoder(label);
  } catch {
    throw new RadllamaError('bad_option', `encoding is ${label}, but must be a name such as utf-8, utf-16le or windows-1252`);
  }
}

const toUtf8 = new TextEncoder();
/** Text as bytes, what could not be decoded as a byte that cannot be, either. */
function utf8(text) {
  const parts = text.split('\ufffd').map((part) => toUtf8.encode(part));
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length + 1, -1));
  let at = 0;
  for (const [index, part] of parts.entries()) {
    if (index > 0) all.set(UNDECODABLE, at++);
    all.set(part, at);
    at += part.length;
  }
  return all;
}
