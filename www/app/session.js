import { ImpressionEngine, RadllamaError } from '../radllama.js';

/** How long a stopped run may take to end before its first word, before the page goes on without it. */
const LEAVE_MS = 300;

/**
 * @typedef {{ model: import('../index.d.ts').ModelSource, adapter?: import('../index.d.ts').AdapterSource,
 *             template?: string, label: string }} Choice
 *   what to load; `adapter` left out: the one that comes with the model
 */

/**
 * The engine over the life of the page: which model is chosen, whether it is loaded, what is under way.
 * One piece of work at a time, each can be stopped. It knows no element of the page.
 *
 * Events: `state` whenever {@link Session.state} or the engine changed, `lost` (detail: the error).
 */
export class Session extends EventTarget {
  /** @type {import('../index.d.ts').ImpressionEngine | null} */
  engine = null;
  /** @type {'idle' | 'loading' | 'writing' | 'swapping'} */
  state = 'idle';
  /** @type {Choice} */
  choice;
  #control = null;

  /** @param {Choice} choice @param {{ contextTokens?: number }} settings */
  constructor(choice, { contextTokens }) {
    super();
    this.choice = choice;
    this.contextTokens = contextTokens;
  }

  get busy() {
    return this.state !== 'idle';
  }

  /** Ends what is under way, if anything is. */
  stop() {
    this.#control?.abort();
  }

  /**
   * Loads the chosen model in place of the one before.
   * @param {(progress: import('../index.d.ts').LoadProgress) => void} onProgress
   */
  load(onProgress) {
    return this.#run('loading', async (signal) => {
      this.engine?.dispose();
      this.engine = null;
      this.#changed();
      const { model, adapter, template } = this.choice;
      const options = { model, template, signal, onProgress, contextTokens: this.contextTokens };
      const engine = await ImpressionEngine.load(adapter === undefined ? options : { ...options, adapter });
      this.engine = engine;
      engine.lost.then((error) => this.#lose(engine, error));
      return engine.info;
    });
  }

  /** Another adapter for the loaded model; the model stays where it is. @param {import('../index.d.ts').AdapterSource} adapter */
  swapAdapter(adapter) {
    return this.#run('swapping', (signal) => this.engine.swapAdapter(adapter, { signal }));
  }

  /**
   * @param {string} findings
   * @param {import('../index.d.ts').ImpressionOptions} options
   * @param {(text: string, report: import('../index.d.ts').GuardReport | null) => void} onText all of the text so
   *   far, and what the guard says of it, where it was asked
   */
  write(findings, options, onText) {
    return this.#run('writing', async (signal) => {
      if (!this.engine) throw new RadllamaError('device_lost', 'the model is no longer loaded');
      const onPrefill = (done, total) => signal.aborted || options.onPrefill?.(done, total);
      const run = this.engine.impression(findings, { ...options, onPrefill, signal });
      let begun = false;
      let left = false;
      const reading = async () => {
        for await (const { text, guard } of run) {
          if (left) break;
          begun = true;
          onText(text, guard);
        }
        return run.result;
      };
      // The step that a slow GPU is in ends before the engine does. Where nothing is written yet there is
      // nothing to wait for: the page is free at once, and the engine's next call queues behind it.
      const leaving = new Promise((_, reject) => {
        const leave = () => {
          if (begun) return;
          left = true;
          reject(new RadllamaError('cancelled', 'cancelled'));
        };
        signal.addEventListener('abort', () => setTimeout(leave, LEAVE_MS), { once: true });
      });
      leaving.catch(() => {});
      const result = reading();
      result.catch(() => {}); // raced below
      return Promise.race([result, leaving]);
    });
  }

  /**
   * Checks an impression against its findings, whatever else is under way, and without a model too.
   * @param {string} findings
   * @param {string} impression
   * @param {import('../index.d.ts').CheckOptions} [options]
   */
  check(findings, impression, options) {
    return (this.engine ?? ImpressionEngine).check(findings, impression, options);
  }

  async #run(state, work) {
    if (this.busy) throw new RadllamaError('busy', 'something else is under way; stop it first');
    this.#control = new AbortController();
    this.state = state;
    this.#changed();
    try {
      return await work(this.#control.signal);
    } finally {
      this.#control = null;
      this.state = 'idle';
      this.#changed();
    }
  }

  #lose(engine, error) {
    if (this.engine !== engine) return; // it was put away, not lost
    this.engine = null;
    this.#changed();
    this.dispatchEvent(new CustomEvent('lost', { detail: error }));
  }

  #changed() {
    this.dispatchEvent(new Event('state'));
  }
}

/** Whether two choices differ in the adapter alone. @param {Choice} a @param {Choice} b */
export const sameModel = (a, b) =>
  (a.model === b.model || (Array.isArray(a.model) && Array.isArray(b.model) && a.model.every((file, at) => file === b.model[at]) && a.model.length === b.model.length)) &&
  a.template === b.template;
