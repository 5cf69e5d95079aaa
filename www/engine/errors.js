/**
 * An error with a stable, machine-readable code: the engine's own codes (see src/error.rs), which
 * survive the worker boundary, and the few that arise in JavaScript (`network`, `truncated`, `io`,
 * `cancelled`, `no_adapter`, `worker_refused`, `wasm_refused`, `internal`).
 */
export class RadllamaError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = 'RadllamaError';
    this.code = code;
  }
}

/** The error for work that was cancelled. */
export const cancelled = () => new RadllamaError('cancelled', 'cancelled');

/** Throws `cancelled` if the signal has fired. @param {AbortSignal} [signal] */
export function throwIfCancelled(signal) {
  if (signal?.aborted) throw cancelled();
}

/**
 * Any thrown value as a RadllamaError. A wasm trap or a slip of ours becomes `internal`.
 * @param {unknown} thrown
 * @returns {RadllamaError}
 */
export function typed(thrown) {
  if (thrown instanceof RadllamaError) return thrown;
  const { name, code, message } = thrown ?? {};
  if (name === 'AbortError') return cancelled();
  const text = message || String(thrown);
  return new RadllamaError(typeof code === 'string' ? code : 'internal', text);
}
