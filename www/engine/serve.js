/**
 * The worker's end of a link (link.js has the other): calls come in as messages, are run, and answered.
 *
 *   → { id, method, args }            ← { id, event }*  then  { id, result } or { id, error }
 *   → { id, cancel: true }
 *
 * An error crosses as `{ code, message, fatal }`: `fatal` means that this worker is of no more use.
 */
import { throwIfCancelled, typed } from './errors.js';

/** Buffers in a result that are handed over instead of being copied. */
const transfers = new WeakMap();

/**
 * Marks what of a result is handed over.
 * @template T
 * @param {T} result
 * @param {Transferable[]} buffers
 * @returns {T}
 */
export function handingOver(result, buffers) {
  transfers.set(result, buffers);
  return result;
}

/**
 * Answers calls.
 * @param {Record<string, (args: object, context: { signal: AbortSignal, report: (event: object) => void }) => unknown>} methods
 * @param {{ queued?: string[], onError?: (code: string, message: string) => object }} [options] `queued`: methods that
 *   run one at a time, in the order of their calls; `onError`: what else crosses with an error
 */
export function serve(methods, { queued = [], onError = () => ({}) } = {}) {
  let tail = Promise.resolve();
  const calls = new Map();
  self.onmessage = async ({ data: { id, method, args, cancel } }) => {
    if (cancel) return calls.get(id)?.abort();
    const control = new AbortController();
    calls.set(id, control);
    const { signal } = control;
    const report = (event) => self.postMessage({ id, event });
    const start = () => (throwIfCancelled(signal), methods[method](args, { signal, report }));
    try {
      const running = queued.includes(method) ? tail.then(start) : start();
      if (queued.includes(method)) tail = Promise.resolve(running).catch(() => {});
      const result = await running;
      self.postMessage({ id, result }, transfers.get(Object(result)) ?? []);
    } catch (thrown) {
      const { code, message } = typed(thrown);
      // After a trap the module's memory is in no known state.
      const fatal = thrown instanceof WebAssembly.RuntimeError;
      self.postMessage({ id, error: { code, message, fatal, ...onError(code, message) } });
    } finally {
      calls.delete(id);
    }
  };
  self.postMessage({ up: true });
}
