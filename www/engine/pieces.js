/**
 * A model's bytes as the sealed worker gets them: from the fetcher through a port, or from the user's own
 * files. Both give `{ file, bytes }` one after another, the first pieces of every file, until its head
 * is complete, before the rest of any.
 */
import { PIECE_BYTES } from './limits.js';
import { RadllamaError, cancelled } from './errors.js';

/** The fetcher's pieces. Each message to it gets one answer; `{ transfer }` comes in between, unasked. */
export class RemotePieces {
  /** `{ totalBytes, cachedBytes, networkBytes }` */
  transfer = { totalBytes: 0, cachedBytes: 0, networkBytes: 0 };

  #port;
  #waiting = null;

  /**
   * @param {MessagePort} port
   * @param {AbortSignal} signal
   * @param {() => void} onTransfer
   */
  constructor(port, signal, onTransfer) {
    this.#port = port;
    port.onmessage = ({ data: { transfer, error, answer } }) => {
      if (transfer) {
        this.transfer = transfer;
        onTransfer();
      }
      if (error) this.#settle('reject', new RadllamaError(error.code, error.message));
      else if (answer !== undefined) this.#settle('resolve', answer);
    };
    signal.addEventListener('abort', () => this.#settle('reject', cancelled()));
  }

  /** The manifest's text and address. @returns {Promise<{ text: string, url: string }>} */
  manifest() {
    return this.#ask({ ask: 'manifest' });
  }

  /**
   * Begins, or begins anew.
   * @param {boolean} adapter whether the manifest's adapter is wanted too
   * @returns {Promise<{ path: string, bytes: number, adapter?: 'config' | 'weights', begun: boolean }[]>}
   *   the files; `begun`: some of it had been stored
   */
  begin(adapter) {
    return this.#ask({ ask: 'begin', adapter });
  }

  /** The next piece, or nothing. @param {number[]} heads the files whose heads are complete */
  next(heads) {
    return this.#ask({ ask: 'next', heads });
  }

  /** Says which files held what they should not: they are fetched anew. @param {number[]} files */
  spoiled(files) {
    return this.#ask({ ask: 'spoiled', files });
  }

  /** Says that no more is wanted. */
  close() {
    this.#port.postMessage({ ask: 'close' });
    this.#port.close();
  }

  #ask(message) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#port.postMessage(message);
    });
  }

  #settle(how, value) {
    this.#waiting?.[how](value);
    this.#waiting = null;
  }
}

/** The user's own files, read in place. */
export class FilePieces {
  #files;
  #read = 0;
  #order = null;

  /** @param {{ name: string, file: Blob }[]} files */
  constructor(files) {
    this.#files = files;
  }

  get transfer() {
    const totalBytes = this.#files.reduce((sum, { file }) => sum + file.size, 0);
    return { totalBytes, cachedBytes: 0, networkBytes: 0, readBytes: this.#read };
  }

  async begin() {
    return this.#files.map(({ name, file }) => ({ path: name, bytes: file.size, begun: false }));
  }

  async next(heads) {
    this.#order ??= this.#pieces();
    const { value } = this.#order.next(heads);
    if (!value) return null;
    const { file, from, to } = value;
    const { name, file: blob } = this.#files[file];
    let bytes;
    try {
      bytes = new Uint8Array(await blob.slice(from, to).arrayBuffer());
    } catch {
      throw new RadllamaError('io', `${name} could not be read; was it moved or changed?`);
    }
    this.#read += bytes.length;
    return { file, bytes };
  }

  async spoiled() {}
  close() {}

  /** Which bytes come next; it is told the files whose heads are complete. */
  *#pieces() {
    let heads = [];
    const at = this.#files.map(() => 0);
    const piece = (file) => {
      const from = at[file];
      at[file] = Math.min(from + PIECE_BYTES, this.#files[file].file.size);
      return { file, from, to: at[file] };
    };
    for (const all of [false, true]) {
      for (const [file, { file: blob }] of this.#files.entries()) {
        while (at[file] < blob.size && (all || !heads.includes(file))) heads = (yield piece(file)) ?? heads;
      }
    }
  }
}
