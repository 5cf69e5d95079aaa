import { RadllamaError, cancelled } from './errors.js';

/**
 * The engine as the main thread sees it: everything happens in a worker, every call is a promise,
 * and every failure is a RadllamaError with a stable `code`.
 *
 *     const client = new RadllamaClient();
 *     await client.load('weights/manifest.json', { onProgress: (p) => … });
 *     const { text } = await client.impression(findings, {}, { onDelta: (text) => … });
 */
export class RadllamaClient {
  /** Whether a model is loaded. */
  loaded = false;

  #worker = null;
  #calls = new Map();
  #lastId = 0;

  /**
   * Downloads a model (or reads it from the browser's storage) and puts it on the GPU.
   *
   * `onProgress` gets `{ phase: 'start' | 'load' | 'prepare', totalBytes, loadedBytes, cachedBytes,
   * networkBytes, pushedBytes, pipelines: { done, total } }`.
   * @param {string | URL} manifestUrl
   * @param {{ contextTokens?: number, cache?: boolean, signal?: AbortSignal,
   *           onProgress?: (progress: object) => void }} [options]
   * @returns {Promise<{ gpu: object, model: object, load: object }>}
   */
  async load(manifestUrl, { contextTokens, cache, signal, onProgress } = {}) {
    this.loaded = false;
    const args = { manifestUrl: absolute(manifestUrl), contextTokens, cache };
    const result = await this.#call('load', args, signal, onProgress);
    this.loaded = true;
    return result;
  }

  /**
   * Writes the impression of findings. Cancelling through `signal` resolves with what was written
   * and `stop: 'cancelled'`.
   * @param {string} findings
   * @param {object} [options] sampling options, see the engine's
   * @param {{ signal?: AbortSignal, onDelta?: (text: string) => void,
   *           onDraft?: (text: string) => void, // by beams: the whole text that leads so far
   *           onPrefill?: (done: number, total: number) => void }} [run]
   */
  impression(findings, options, run) {
    return this.#call('impression', { findings, options }, run?.signal, events(run));
  }

  /**
   * Continues a prompt that is given as token ids.
   * @param {ArrayLike<number>} promptIds
   * @param {object} [options]
   * @param {Parameters<RadllamaClient['impression']>[2]} [run]
   */
  generate(promptIds, options, run) {
    const args = { promptIds: Array.from(promptIds), options };
    return this.#call('generate', args, run?.signal, events(run));
  }

  /**
   * Runs the loaded model with a PEFT adapter, in place of the one before. The model is not loaded
   * again; an adapter that does not fit it is refused and changes nothing.
   * @param {{ config: BufferSource | Blob, weights: BufferSource | Blob }} files the contents of
   *   adapter_config.json and adapter_model.safetensors
   */
  async setAdapter({ config, weights }) {
    const bytes = (source) => (source instanceof Blob ? source.arrayBuffer() : source);
    return this.#call('setAdapter', { config: await bytes(config), weights: await bytes(weights) });
  }

  /** Drops the adapter: the base alone writes from here on. */
  dropAdapter() {
    return this.#call('dropAdapter');
  }

  /** The GPU adapter and the loaded model. */
  info() {
    return this.#call('info');
  }

  /**
   * Name, notice, size and stored bytes of a model, without loading it.
   * @param {string | URL} manifestUrl
   */
  probe(manifestUrl) {
    return this.#call('probe', { manifestUrl: absolute(manifestUrl) });
  }

  /** Removes every model that is stored in this browser. */
  deleteStored() {
    return this.#call('deleteStored');
  }

  /** Ends the worker and everything it holds. Calls that are under way fail as cancelled. */
  dispose() {
    this.#end(cancelled());
  }

  #call(method, args = {}, signal, onEvent) {
    if (signal?.aborted) return Promise.reject(cancelled());
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const cancel = () => this.#worker?.postMessage({ id, cancel: true });
      const done = () => {
        this.#calls.delete(id);
        signal?.removeEventListener('abort', cancel);
      };
      this.#calls.set(id, {
        onEvent,
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
      });
      signal?.addEventListener('abort', cancel);
      this.#start().postMessage({ id, method, args });
    });
  }

  #start() {
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data: { id, event, result, error } }) => {
      const call = this.#calls.get(id);
      if (event) return call?.onEvent?.(event);
      if (!error) return call?.resolve(result);
      call?.reject(new RadllamaError(error.code, error.message));
      if (!error.loaded) this.loaded = false;
      if (error.fatal) this.#end(new RadllamaError('internal', 'the engine stopped; load the model again'));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const text = event.message || 'a part of the page could not be loaded';
      this.#end(new RadllamaError('internal', `the engine's worker failed: ${text}`));
    };
    return (this.#worker = worker);
  }

  #end(error) {
    this.#worker?.terminate();
    this.#worker = null;
    this.loaded = false;
    for (const call of [...this.#calls.values()]) call.reject(error);
  }
}

const absolute = (url) => new URL(url, document.baseURI).href;

/** The engine's event stream as the callbacks that `run` names. */
function events(run) {
  return (event) => {
    if (event.type === 'delta') run?.onDelta?.(event.text);
    if (event.type === 'draft') run?.onDraft?.(event.text);
    if (event.type === 'prefill') run?.onPrefill?.(event.done, event.total);
  };
}
