import { RadllamaError, cancelled, typed } from './errors.js';
import { PIECE_BYTES } from './limits.js';
import { networkError } from './manifest.js';

/** Requests at once: enough to fill a line, below a browser's six connections to a host. */
const CONNECTIONS = 4;
/** Pieces asked for in one request (16 MiB): few round trips, and still several requests a file. */
const JOB_PIECES = 8;
/** Pieces kept in memory where there is no storage, before the network has to wait (24 MiB). */
const HELD_PIECES = 12;
/** Failures in a row, without a byte of progress, before a download is given up. */
const MAX_FAILURES = 5;
/** The first pause after a failure; each further one doubles it. */
const RETRY_MS = 250;

/**
 * The pieces of all files of a model, from the cache where it has them and from the network where it
 * does not. They come file after file, except that the first pieces of every file, until
 * `headComplete(file)` says enough, come before the rest of any. Several byte ranges, of one file or
 * of several, are fetched at once; they go to the cache as they come, or wait in a bounded memory
 * where there is none. No file is ever whole in memory.
 *
 * Iterate it once: `for await (const { file, bytes } of stream)`. Leaving the loop in any way ends
 * the downloads; what the cache has by then stays for the next time.
 */
export class PieceStream {
  /** Bytes that were stored before this download. */
  cachedBytes = 0;
  /** Bytes that came over the network, each counted once. */
  networkBytes = 0;

  #files;
  #entries;
  #onProgress;
  #headComplete;
  #stop = new AbortController();
  #failure = null;
  /**
   * Every piece of every file, in order: `{ file, piece, size, claimed, stored, read }`. Claimed: a
   * job fetches it, or need not. Read: the reader has had it.
   */
  #pieces = [];
  /** Per file: the index of its first piece, and the length of `#pieces` at the end. */
  #first = [];
  /** Pieces in memory: index in `#pieces` → bytes. */
  #held = new Map();
  /** The piece that the reader waits for. */
  #next = 0;
  /** Promises of the connections. */
  #running = [];
  #wake = withResolvers();
  /** Per file: the job that receives the whole file because the server knows no ranges. */
  #whole = new Map();

  /**
   * @param {import('./manifest.js').ModelFile[]} files
   * @param {Array<Awaited<ReturnType<typeof import('./cache.js').openEntry>>>} entries one a file
   * @param {{ signal?: AbortSignal, onProgress?: () => void,
   *           headComplete?: (file: number) => boolean }} [options]
   */
  constructor(files, entries, { signal, onProgress = () => {}, headComplete = () => true } = {}) {
    this.#files = files;
    this.#entries = entries;
    this.#onProgress = onProgress;
    this.#headComplete = headComplete;
    files.forEach((file, f) => {
      this.#first.push(this.#pieces.length);
      for (let piece = 0; piece * PIECE_BYTES < file.bytes; piece++) {
        const size = Math.min(PIECE_BYTES, file.bytes - piece * PIECE_BYTES);
        const stored = entries[f]?.has(piece) ?? false;
        if (stored) this.cachedBytes += size;
        this.#pieces.push({ file: f, piece, size, claimed: stored, stored, read: false });
      }
    });
    this.#first.push(this.#pieces.length);
    if (signal?.aborted) this.#stop.abort();
    signal?.addEventListener('abort', () => this.#fail(cancelled()), { signal: this.#stop.signal });
  }

  async *[Symbol.asyncIterator]() {
    this.#running = Array.from({ length: CONNECTIONS }, () => this.#work());
    try {
      for (const index of this.#order()) {
        this.#next = index;
        this.#changed();
        const piece = this.#pieces[index];
        // Where all connections wait with pieces that come later, one more fetches what comes now.
        if (!piece.claimed) this.#running.push(this.#work(this.#claim(index, 1)));
        while (!this.#failure && !this.#ready(index)) await this.#wake.promise;
        if (this.#failure) throw this.#failure;
        const bytes = this.#held.get(index) ?? this.#entries[piece.file].read(piece.piece);
        this.#held.delete(index);
        piece.read = true;
        if (!bytes) throw new RadllamaError('io', 'the stored model could not be read');
        yield { file: piece.file, bytes };
      }
    } finally {
      this.#fail(cancelled());
      await Promise.allSettled(this.#running); // nothing writes to the entries after this
    }
  }

  /** The indices of all pieces as the reader gets them. */
  *#order() {
    const rest = this.#first.slice(0, -1);
    for (let file = 0; file < rest.length; file++) {
      while (rest[file] < this.#first[file + 1] && !this.#headComplete(file)) yield rest[file]++;
    }
    for (let file = 0; file < rest.length; file++) {
      while (rest[file] < this.#first[file + 1]) yield rest[file]++;
    }
  }

  #ready(index) {
    return this.#pieces[index].stored || this.#held.has(index);
  }

  /** Wakes whoever waits for a change. */
  #changed() {
    this.#wake.resolve();
    this.#wake = withResolvers();
  }

  /** Ends everything; the first reason is the one that counts. */
  #fail(error) {
    this.#failure ??= error;
    this.#stop.abort();
    this.#changed();
  }

  /** One connection: does the jobs that it takes until none is left, or only the one it is given. */
  async #work(only) {
    try {
      for (let job = only ?? this.#take(); job && !this.#failure; job = only ? null : this.#take()) {
        await this.#fetchJob(job);
      }
    } catch (error) {
      this.#fail(typed(error));
    }
  }

  /** The first piece of a file, as long as one is missing, then the earliest run of pieces. */
  #take() {
    const head = this.#first.find((index) => this.#pieces[index]?.claimed === false);
    if (head !== undefined) return this.#claim(head, 1);
    const first = this.#pieces.findIndex((piece) => !piece.claimed);
    return first < 0 ? null : this.#claim(first, JOB_PIECES);
  }

  /** A job of up to `most` pieces that nobody fetches, beginning at one. */
  #claim(index, most) {
    const { file } = this.#pieces[index];
    let end = index;
    while (end < index + most && this.#pieces[end]?.file === file && !this.#pieces[end].claimed) {
      this.#pieces[end++].claimed = true;
    }
    return { file, index, end, part: null, filled: 0 };
  }

  /** Fetches a job's pieces, trying again from the byte it reached whenever the line breaks. */
  async #fetchJob(job) {
    const { url, path, bytes } = this.#files[job.file];
    for (let failures = 0; job.index < job.end; ) {
      const before = this.#position(job);
      try {
        await this.#receive(job);
      } catch (error) {
        if (this.#failure) throw this.#failure;
        if (error instanceof RadllamaError) throw error;
        failures = this.#position(job) === before ? failures + 1 : 1;
        if (failures >= MAX_FAILURES) {
          // Whole, and shorter each time: that is what the server has.
          if (error.shortBytes) throw truncated(path, bytes, error.shortBytes);
          throw networkError(url, typed(error).message);
        }
        await pause(RETRY_MS * 2 ** (failures - 1) * (0.75 + Math.random() / 2), this.#stop.signal);
      }
    }
  }

  /** One request of a job. Returns at the end of its pieces, or when another job delivers them. */
  async #receive(job) {
    const file = this.#files[job.file];
    const from = this.#position(job);
    const to = this.#start(job.end - 1) + this.#pieces[job.end - 1].size;
    const response = await fetch(file.url, {
      headers: { Range: `bytes=${from}-${to - 1}` },
      cache: 'no-store', // the cache here is OPFS; a second copy would only take room
      signal: this.#stop.signal,
    });
    const total = totalBytes(response);
    if (response.status === 416 || (total !== null && total < file.bytes)) {
      response.body?.cancel();
      throw truncated(file.path, file.bytes, total ?? from);
    }
    if (response.status !== 206 && response.status !== 200) {
      response.body?.cancel();
      const error = `the server answered ${response.status}`;
      // What the client asks wrongly stays wrong; the rest may pass (408, 429, 5xx).
      const lasting = response.status < 500 && ![408, 429].includes(response.status);
      throw lasting ? networkError(file.url, error) : new Error(error);
    }
    let skip = 0;
    if (response.status === 200) {
      if ((this.#whole.get(job.file) ?? job) !== job) {
        response.body.cancel(); // another job receives the whole file, these pieces included
        this.#discard(job);
        job.index = job.end;
        return;
      }
      if (!this.#whole.has(job.file)) this.#becomeWhole(job);
      skip = this.#position(job);
    }
    await this.#read(job, response, skip);
  }

  /** Makes a job the one that receives its file from the first missing byte to the last. */
  #becomeWhole(job) {
    this.#discard(job);
    this.#whole.set(job.file, job);
    const mine = (piece) => piece.file === job.file;
    job.index = this.#pieces.findIndex((piece) => mine(piece) && !piece.stored);
    job.end = this.#pieces.findLastIndex(mine) + 1;
    for (let index = job.index; index < job.end; index++) this.#pieces[index].claimed = true;
  }

  /** Reads a body into pieces, leaving out its first `skip` bytes. */
  async #read(job, response, skip) {
    const reader = response.body.getReader();
    let received = 0;
    try {
      while (job.index < job.end) {
        const { done, value } = await reader.read();
        if (done) {
          const error = new Error('the connection closed early');
          if (response.status === 200) error.shortBytes = received;
          throw error;
        }
        received += value.length;
        const fresh = value.subarray(Math.min(skip, value.length));
        skip -= value.length - fresh.length;
        await this.#fill(job, fresh);
        this.#onProgress();
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  async #fill(job, chunk) {
    while (chunk.length > 0 && job.index < job.end) {
      const { size } = this.#pieces[job.index];
      job.part ??= new Uint8Array(size);
      const count = Math.min(size - job.filled, chunk.length);
      job.part.set(chunk.subarray(0, count), job.filled);
      job.filled += count;
      this.networkBytes += count;
      chunk = chunk.subarray(count);
      if (job.filled === size) {
        await this.#put(job.index, job.part);
        Object.assign(job, { index: job.index + 1, part: null, filled: 0 });
      }
    }
  }

  /** Stores a piece, or holds it in memory as soon as there is room or the reader waits for it. */
  async #put(index, bytes) {
    const { file, piece, size } = this.#pieces[index];
    if (this.#pieces[index].read || this.#ready(index)) {
      this.networkBytes -= size; // it came twice, around a change to whole files
      return;
    }
    if (this.#entries[file]?.write(piece, bytes)) {
      this.#pieces[index].stored = true;
    } else {
      while (!this.#failure && this.#held.size >= HELD_PIECES && index !== this.#next) {
        await this.#wake.promise;
      }
      if (this.#failure) throw this.#failure;
      this.#held.set(index, bytes);
    }
    this.#changed();
  }

  /** Forgets the part of a piece that a job has received. */
  #discard(job) {
    this.networkBytes -= job.filled;
    Object.assign(job, { part: null, filled: 0 });
  }

  #start(index) {
    return this.#pieces[index].piece * PIECE_BYTES;
  }

  /** The byte of the file that a job needs next. */
  #position(job) {
    return this.#start(job.index) + job.filled;
  }
}

/** The size of the whole file, if the server tells it. */
function totalBytes(response) {
  const range = response.headers.get('Content-Range');
  if (range) return number(range.split('/')[1]);
  // A compressed body's length says nothing about the file's.
  if (response.status !== 200 || response.headers.get('Content-Encoding')) return null;
  return number(response.headers.get('Content-Length'));
}

const number = (text) => (/^\d+$/.test(text ?? '') ? Number(text) : null);

function truncated(path, expected, found) {
  const text = `${path} is truncated: ${expected} bytes are expected, ${found} are there; download it again`;
  return new RadllamaError('truncated', text);
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function withResolvers() {
  let resolve;
  const promise = new Promise((r) => (resolve = r));
  return { promise, resolve };
}
