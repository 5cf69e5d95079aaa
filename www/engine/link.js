import { RadllamaError, cancelled } from './errors.js';

/**
 * A worker as promises: serve.js is its other end. Every failure is a RadllamaError.
 */
export class Link {
  /** Resolves once the worker runs; rejects if it cannot. */
  up;

  #worker;
  #calls = new Map();
  #lastId = 0;
  #ended = null;
  #onNews;
  #onEnd;

  /**
   * @param {Worker} worker
   * @param {{ onNews?: (news: object) => void, onEnd?: (error: RadllamaError) => void }} [options]
   *   `onNews`: what the worker says unasked; `onEnd`: it is of no more use
   */
  constructor(worker, { onNews = () => {}, onEnd = () => {} } = {}) {
    this.#worker = worker;
    this.#onNews = onNews;
    this.#onEnd = onEnd;
    this.up = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        if (data.up) resolve();
        else if (data.id === undefined) this.#onNews(data);
        else this.#answer(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        const text = event.message || 'a part of the page could not be loaded';
        const error = new RadllamaError('internal', `the engine's worker failed: ${text}`);
        reject(error);
        this.end(error);
      };
    });
    this.up.catch(() => {}); // whoever waits for it hears of it
  }

  /**
   * Calls a method of the worker.
   * @param {string} method
   * @param {object} [args]
   * @param {{ signal?: AbortSignal, onEvent?: (event: object) => void, transfer?: Transferable[] }} [options]
   */
  call(method, args = {}, { signal, onEvent, transfer = [] } = {}) {
    if (signal?.aborted) return Promise.reject(cancelled());
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const cancel = () => this.#worker.postMessage({ id, cancel: true });
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
      this.#worker.postMessage({ id, method, args }, transfer);
    });
  }

  /** Ends the worker; calls that are under way fail with `error`. @param {RadllamaError} [error] */
  end(error = cancelled()) {
    if (this.#ended) return;
    this.#ended = error;
    this.#worker.terminate();
    for (const call of [...this.#calls.values()]) call.reject(error);
    this.#onEnd(error);
  }

  #answer({ id, event, result, error }) {
    const call = this.#calls.get(id);
    if (event) return call?.onEvent?.(event);
    if (!error) return call?.resolve(result);
    call?.reject(Object.assign(new RadllamaError(error.code, error.message), { loaded: error.loaded }));
    if (error.fatal) this.end(new RadllamaError('internal', 'the engine stopped; load the model again'));
  }
}
