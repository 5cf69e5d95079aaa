import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';

import { baseModel } from './models.js';
import { www } from './paths.js';

const ALIGNMENT = 32;
const align = (n) => Math.ceil(n / ALIGNMENT) * ALIGNMENT;

// GGUF v3 value types (the GGUF specification's numbers): bytes of a scalar, then string and array.
const SCALAR_BYTES = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const [UINT32, STRING, ARRAY] = [4, 8, 9];

/** Reads a GGUF header: metadata as raw bytes by key, and tensors with where their data lies. */
function readHeader(path) {
  const bytes = readFileSync(path);
  let at = 8;
  const u32 = () => ((at += 4), bytes.readUInt32LE(at - 4));
  const u64 = () => ((at += 8), Number(bytes.readBigUInt64LE(at - 8)));
  const string = () => {
    const length = u64();
    return bytes.toString('utf8', at, (at += length));
  };
  const skip = (type) => {
    if (type === STRING) string();
    else if (type === ARRAY) {
      const inner = u32();
      const count = u64();
      if (inner in SCALAR_BYTES) at += SCALAR_BYTES[inner] * count;
      else for (let i = 0; i < count; i++) skip(inner);
    } else at += SCALAR_BYTES[type];
  };
  const [tensorCount, keyCount] = [u64(), u64()];
  const metadata = new Map();
  for (let i = 0; i < keyCount; i++) {
    const begin = at;
    const key = string();
    const type = u32();
    skip(type);
    metadata.set(key, bytes.subarray(begin, at));
  }
  const tensors = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = string();
    const begin = at;
    const dimensions = u32();
    at += 8 * dimensions + 4;
    const shape = bytes.subarray(begin, at); // dimensions and type, as they stand
    tensors.push({ name, shape, offset: u64(), path });
  }
  const data = align(at);
  const inOrder = tensors.toSorted((a, b) => a.offset - b.offset);
  inOrder.forEach((tensor, i) => {
    tensor.size = (inOrder[i + 1]?.offset ?? bytes.length - data) - tensor.offset;
    tensor.offset += data;
  });
  return { metadata, tensors: inOrder };
}

const u32le = (n) => Buffer.from(Uint32Array.of(n).buffer);
const u64le = (n) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
const stringBytes = (text) => Buffer.concat([u64le(Buffer.byteLength(text)), Buffer.from(text)]);

/**
 * A valid model about ten times the default one's size, made while it is sent: the default model's
 * layers over and over. It lies nowhere; only its manifest's hash needs one pass over it.
 * @param {import('./server.js').TestServer} server
 * @param {number} [times]
 * @returns {Promise<{ manifest: string, bytes: number }>} the manifest's address, the model's size
 */
export async function largeModel(server, times = 10) {
  const { manifest, bytes: wanted } = baseModel();
  const parts = manifest.files.map(({ path }) => readHeader(join(www, 'weights', path)));
  const tensors = parts.flatMap((part) => part.tensors);
  const layer = ({ name }) => /^blk\.(\d+)\./.exec(name)?.[1];
  const once = tensors.filter((tensor) => layer(tensor) === undefined);
  const layers = [];
  for (const tensor of tensors.filter(layer)) (layers[layer(tensor)] ??= []).push(tensor);
  const size = (list) => list.reduce((sum, tensor) => sum + align(tensor.size), 0);
  const count = Math.ceil((wanted * times - size(once)) / (size(layers.flat()) / layers.length));

  const all = [...once];
  for (let i = 0; i < count; i++) {
    for (const tensor of layers[i % layers.length]) {
      all.push({ ...tensor, name: tensor.name.replace(/^blk\.\d+/, `blk.${i}`) });
    }
  }
  const metadata = [...parts[0].metadata].filter(([key]) => !key.startsWith('split.'));
  const blocks = metadata.find(([key]) => key === 'llama.block_count');
  blocks[1] = Buffer.concat([stringBytes(blocks[0]), u32le(UINT32), u32le(count)]);
  let offset = 0;
  const infos = all.map((tensor) => {
    const info = Buffer.concat([stringBytes(tensor.name), tensor.shape, u64le(offset)]);
    offset += align(tensor.size);
    return info;
  });
  const head = [Buffer.from('GGUF'), u32le(3), u64le(all.length), u64le(metadata.length)];
  const header = Buffer.concat([...head, ...metadata.map(([, raw]) => raw), ...infos]);
  const padded = Buffer.concat([header, Buffer.alloc(align(header.length) - header.length)]);

  const bytes = padded.length + offset;
  const segments = [{ start: 0, buffer: padded }];
  let start = padded.length;
  for (const tensor of all) {
    segments.push({ start, tensor });
    start += align(tensor.size);
  }
  const file = { bytes, read: (from, to) => read(segments, bytes, from, to) };
  const hash = createHash('sha256');
  for (const chunk of file.read(0, bytes)) hash.update(chunk);
  server.files.set('/large/model.gguf', file);
  const files = [{ path: 'model.gguf', bytes, sha256: hash.digest('hex') }];
  server.files.set('/large/manifest.json', Buffer.from(JSON.stringify({ ...manifest, files })));
  return { manifest: 'large/manifest.json', bytes };
}

/** The bytes from `from` to `to` of the segments laid end to end. */
function* read(segments, total, from, to) {
  let first = 0;
  for (let high = segments.length - 1; first < high; ) {
    const middle = (first + high + 1) >> 1;
    if (segments[middle].start <= from) first = middle;
    else high = middle - 1;
  }
  for (let i = first; i < segments.length && segments[i].start < to; i++) {
    const { start, buffer, tensor } = segments[i];
    const end = segments[i + 1]?.start ?? total;
    const [a, b] = [Math.max(from, start) - start, Math.min(to, end) - start];
    yield buffer ? buffer.subarray(a, b) : readTensor(tensor, a, b);
  }
}

/** Bytes of a tensor's data; zeros in the padding after it. */
function readTensor({ path, offset, size }, from, to) {
  const bytes = Buffer.alloc(to - from);
  const fd = openSync(path);
  if (from < size) readSync(fd, bytes, 0, Math.min(to, size) - from, offset + from);
  closeSync(fd);
  return bytes;
}
