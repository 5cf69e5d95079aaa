/**
 * The engines of a page: one for each model and adapter, whatever number of elements use it. An
 * engine holds a copy of the model on the GPU, so it is loaded at the first wish, shared, and given
 * back some time after its last user has left.
 */
import { cancelled, typed } from '../engine/errors.js';

/** How long an unused engine stays: long enough for a screen that rebuilds its form. */
const GRACE_MS = 30_000;

/** One engine, from the moment that it begins to load. */
class Shared {
  /** Elements that have asked for it. */
  users = new Set();
  /** The engine, once it is there. */
  engine = null;
  timer = 0;
  #control = new AbortController();
  #waiters = new Set();
  #progress = null;

  /** @param {(options: object) => Promise<object>} load */
  constructor(load) {
    const onProgress = (progress) => {
      this.#progress = progress;
      for (const waiter of [...this.#waiters]) waiter.onProgress(progress);
    };
    this.loading = load({ signal: this.#control.signal, onProgress });
    this.loading.then((engine) => (this.engine = engine), () => {});
  }

  /** Whether its load was given up. */
  get ended() {
    return this.#control.signal.aborted;
  }

  /** Waits for the engine. Where nobody waits any more, the load ends. */
  wait({ signal, onProgress = () => {} }) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled());
      const waiter = { onProgress };
      const leave = () => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', stop);
      };
      const stop = () => {
        leave();
        reject(cancelled());
        if (this.#waiters.size === 0 && !this.engine) this.#control.abort();
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', stop);
      if (this.#progress && !this.engine) onProgress(this.#progress);
      this.loading.then((engine) => (leave(), resolve(engine)), (error) => (leave(), reject(error)));
    });
  }

  dispose() {
    this.#control.abort();
    this.loading.then((engine) => engine.dispose(), () => {});
  }
}

export class EnginePool {
  /** How long an engine stays without a user, in milliseconds. */
  graceMs = GRACE_MS;

  /** Key → what is loading or loaded. @type {Map<string, Shared>} */
  #shared = new Map();
  /** Blob → its number in keys. */
  #ids = new WeakMap();
  #lastId = 0;
  #load;

  /** @param {(options: import('../index.d.ts').LoadOptions) => Promise<object>} load */
  constructor(load) {
    this.#load = load;
  }

  /**
   * The engine for a source, loaded if it is not there yet. Rejects with a RadllamaError.
   * @param {object} user stays registered until `leave`
   * @param {import('../index.d.ts').LoadOptions} source
   * @param {{ signal?: AbortSignal, onProgress?: (p: object) => void }} [options]
   */
  engine(user, source, options = {}) {
    if (options.signal?.aborted) return Promise.reject(cancelled());
    const key = this.#key(source);
    let shared = this.#shared.get(key);
    if (!shared || shared.ended) this.#shared.set(key, (shared = this.#open(key, source, shared)));
    shared.users.add(user);
    clearTimeout(shared.timer);
    return shared.wait(options);
  }

  /** A user needs none of its engines any more. @param {object} user */
  leave(user) {
    for (const [key, shared] of this.#shared) {
      if (!shared.users.delete(user) || shared.users.size > 0) continue;
      const end = () => {
        shared.dispose();
        this.#forget(key, shared);
      };
      shared.timer = setTimeout(end, this.graceMs);
    }
  }

  /** Number of engines that are loading or loaded. */
  get size() {
    return this.#shared.size;
  }

  /** @param {Shared} [before] a load that was given up: its files are free once it has ended */
  #open(key, source, before) {
    const ended = Promise.resolve(before?.loading).catch(() => {});
    const load = async (options) => {
      await ended;
      return this.#load({ ...source, ...options });
    };
    const shared = new Shared((options) => load(options).catch((thrown) => Promise.reject(typed(thrown))));
    const forget = () => this.#forget(key, shared);
    shared.loading.then((engine) => engine.lost.then(forget), forget);
    return shared;
  }

  #forget(key, shared) {
    if (this.#shared.get(key) === shared) this.#shared.delete(key);
  }

  /** Sources with one key are served by one engine. */
  #key({ model, adapter, baseUrl }) {
    const name = (part) => {
      if (part === undefined || part === null) return String(part);
      if (Array.isArray(part)) return part.map(name).join('+');
      if (typeof part === 'object' && !(part instanceof URL)) {
        if (!this.#ids.has(part)) this.#ids.set(part, ++this.#lastId);
        return `#${this.#ids.get(part)}`;
      }
      return new URL(part, document.baseURI).href;
    };
    return [model, adapter, baseUrl].map(name).join('\n');
  }
}

/** The page's engines. The engine's code is fetched with the first of them. */
export const pool = new EnginePool(async (options) => {
  const { ImpressionEngine } = await import('../radllama.js').catch(({ message }) => {
    throw Object.assign(new Error(`the engine could not be fetched: ${message}; check the connection and try again`), { code: 'network' });
  });
  return ImpressionEngine.load(options);
});
