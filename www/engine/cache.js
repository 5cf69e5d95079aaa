/**
 * Model files in the browser's own storage (OPFS), for use in a worker.
 *
 * A file lives under its SHA-256 as two entries: `<sha256>.data`, written in place piece by piece,
 * and `<sha256>.pieces`, a journal of one byte a piece that is 1 once the piece is safely in the
 * data. The file is complete when every byte of the journal is 1, so a download that was interrupted
 * anywhere continues where it stopped. That the content is right is not believed from here: the
 * engine hashes every byte it is handed, each time.
 */
import { PIECE_BYTES } from './limits.js';

// Another piece size would make old journals mean something else: it is part of the name.
const DIRECTORY = 'radllama-models-2m';
/** How the name of a note on a model ends. */
const MODEL = '.model';

/** One file's entry, held open with exclusive access. */
class Entry {
  #data;
  #journal;
  #bytes;
  #done;

  constructor(data, journal, bytes) {
    this.#data = data;
    this.#journal = journal;
    this.#bytes = bytes;
    this.#done = new Uint8Array(Math.ceil(bytes / PIECE_BYTES));
    if (data.getSize() === bytes && journal.getSize() === this.#done.length) {
      journal.read(this.#done, { at: 0 });
    } else {
      // New, or damaged: nothing of it can be trusted.
      journal.truncate(0);
      data.truncate(bytes); // throws where the storage is too small for the whole file
      journal.write(this.#done, { at: 0 });
    }
  }

  /** Whether a piece is stored. @param {number} piece */
  has(piece) {
    return this.#done[piece] === 1;
  }

  /** Whether any piece is stored. */
  get begun() {
    return this.#done.includes(1);
  }

  /** Reads a piece, or nothing where the storage no longer gives it. @param {number} piece */
  read(piece) {
    const at = piece * PIECE_BYTES;
    const bytes = new Uint8Array(Math.min(PIECE_BYTES, this.#bytes - at));
    return this.#data.read(bytes, { at }) === bytes.length ? bytes : null;
  }

  /**
   * Stores a piece; false where the storage is full.
   * @param {number} piece
   * @param {Uint8Array} bytes
   */
  write(piece, bytes) {
    try {
      if (this.#data.write(bytes, { at: piece * PIECE_BYTES }) !== bytes.length) return false;
      this.#data.flush(); // before the journal says so
      this.#journal.write(Uint8Array.of(1), { at: piece });
      this.#journal.flush();
    } catch {
      return false;
    }
    this.#done[piece] = 1;
    return true;
  }

  close() {
    this.#data.close();
    this.#journal.close();
  }
}

/** The directory of the cache, or nothing where the browser gives no storage (a private window). */
async function directory(create) {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(DIRECTORY, { create });
  } catch {
    return null;
  }
}

const names = (sha256) => [`${sha256}.data`, `${sha256}.pieces`];

/**
 * Opens (or begins) the entry of a file. Returns nothing where it cannot be stored: no storage, not
 * enough of it, or another tab is using the entry. The model then streams past the cache.
 * @param {string} sha256
 * @param {number} bytes
 * @returns {Promise<Entry | null>}
 */
export async function openEntry(sha256, bytes) {
  const dir = await directory(true);
  if (!dir) return null;
  const handles = [];
  try {
    for (const name of names(sha256)) {
      const file = await dir.getFileHandle(name, { create: true });
      handles.push(await file.createSyncAccessHandle());
    }
    return new Entry(handles[0], handles[1], bytes);
  } catch (error) {
    for (const handle of handles) handle.close();
    // Half an entry would only take room away; another tab's is not ours to remove.
    if (error?.name !== 'NoModificationAllowedError') await deleteEntry(sha256);
    return null;
  }
}

/** Removes a file's entry, if there is one. @param {string} sha256 */
export async function deleteEntry(sha256) {
  const dir = await directory(false);
  for (const name of dir ? names(sha256) : []) await dir.removeEntry(name).catch(() => {});
}

/**
 * How many bytes of a file are stored.
 * @param {string} sha256
 * @param {number} bytes
 */
async function storedBytes(sha256, bytes) {
  const dir = await directory(false);
  try {
    const [data, journal] = await Promise.all(
      names(sha256).map(async (name) => (await dir.getFileHandle(name)).getFile()),
    );
    if (data.size !== bytes) return 0;
    const done = new Uint8Array(await journal.arrayBuffer());
    const size = (piece) => Math.min(PIECE_BYTES, bytes - piece * PIECE_BYTES);
    return done.reduce((sum, flag, piece) => sum + (flag === 1 ? size(piece) : 0), 0);
  } catch {
    return 0; // not there
  }
}

/**
 * Remembers which files make up a model, for `storedModels`.
 * @param {string} name
 * @param {{ sha256: string, bytes: number }[]} files
 */
export async function rememberModel(name, files) {
  const dir = await directory(false);
  if (!dir) return;
  let handle;
  try {
    const file = await dir.getFileHandle(`${files[0].sha256}.${hashCode(name)}${MODEL}`, { create: true });
    handle = await file.createSyncAccessHandle();
    const text = new TextEncoder().encode(JSON.stringify({ name, files }));
    handle.truncate(text.length);
    handle.write(text, { at: 0 });
  } catch {
    // Another tab is writing the same, or there is no room: only the list of models is the poorer.
  } finally {
    handle?.close();
  }
}

/** A short name for a name. @param {string} text */
function hashCode(text) {
  let hash = 0;
  for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return hash.toString(16);
}

/**
 * The stored models, as `rememberModel` was told of them.
 * @returns {Promise<{ entry: string, name: string, files: { sha256: string, bytes: number }[] }[]>}
 */
async function remembered() {
  const dir = await directory(false);
  const found = [];
  if (!dir) return found;
  for await (const [entry, handle] of dir.entries()) {
    if (!entry.endsWith(MODEL)) continue;
    try {
      found.push({ entry, ...JSON.parse(await (await handle.getFile()).text()) });
    } catch {
      // Half-written by a tab that ended: the files are still found by their hashes.
    }
  }
  return found;
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/**
 * How large a model is and how much of it is stored.
 * @param {{ sha256: string, bytes: number }[]} files
 */
export async function storedModel(files) {
  return {
    totalBytes: sum(files.map(({ bytes }) => bytes)),
    storedBytes: sum(await Promise.all(files.map(({ sha256, bytes }) => storedBytes(sha256, bytes)))),
    sha256: files.map(({ sha256 }) => sha256),
  };
}

/** The stored models with their sizes; those of which nothing is left are not among them. */
export async function storedModels() {
  const all = await remembered();
  const models = await Promise.all(all.map(async ({ name, files }) => ({ name, ...(await storedModel(files)) })));
  return models.filter((model) => model.storedBytes > 0).toSorted((a, b) => a.name.localeCompare(b.name));
}

/** Removes a model: what of its files no other stored model has. @param {string[]} sha256 */
export async function deleteModel(sha256) {
  const dir = await directory(false);
  const models = await remembered();
  const same = ({ files }) => files.map((file) => file.sha256).join() === sha256.join();
  const kept = models.filter((model) => !same(model)).flatMap(({ files }) => files.map((file) => file.sha256));
  for (const hash of sha256) if (!kept.includes(hash)) await deleteEntry(hash);
  for (const { entry } of models.filter(same)) await dir?.removeEntry(entry).catch(() => {});
}

/** Removes every stored model. */
export async function deleteAll() {
  try {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(DIRECTORY, { recursive: true });
  } catch {
    // Nothing was stored.
  }
}

/** Removes the entries of all files but these, as far as no tab uses them. @param {string[]} keep */
export async function evictOthers(keep) {
  const dir = await directory(false);
  if (!dir) return;
  for await (const name of dir.keys()) {
    if (!keep.includes(name.split('.')[0])) await dir.removeEntry(name).catch(() => {});
  }
}
