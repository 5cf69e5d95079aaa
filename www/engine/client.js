import { RadllamaError, cancelled, typed } from './errors.js';
import { Link } from './link.js';
import { sealedLink } from './seal.js';

/** @typedef {import('../index.d.ts').GuardReport} GuardReport */

/**
 * The engine as the main thread sees it: every call is a promise, and every failure a RadllamaError with
 * a stable `code`. Two workers do the work: the fetcher, which is ended as soon as a model is loaded,
 * and the sealed one, which reads reports. engine.js stands on this; options have the engine's own names.
 */
export class RadllamaClient {
  /** Whether a model is loaded. */
  loaded = false;
  /** `{ version, sealed }` of the sealed worker. */
  about = null;

  #baseUrl;
  #onLost;
  #fetcher = null;
  #sealed = null; // a promise of { link, remove }
  #uses = 0;
  #disposed = false;

  /**
   * @param {{ baseUrl?: string | URL, onLost?: (error: RadllamaError) => void }} [options]
   *   `onLost`: the model is gone and has to be loaded again
   */
  constructor({ baseUrl, onLost = () => {} } = {}) {
    this.#baseUrl = baseUrl && new URL(baseUrl, document.baseURI);
    this.#onLost = onLost;
  }

  /**
   * Downloads a model (or reads it from the browser's storage or from files) and puts it on the GPU.
   * @param {string | URL | { name: string, file: Blob }[]} model a manifest's address, or GGUF files
   * @param {{ adapter?: boolean, contextTokens?: number, template?: string, cache?: boolean,
   *           signal?: AbortSignal, onProgress?: (progress: object) => void }} [options]
   * @returns {Promise<{ gpu: object, model: object, load: object }>}
   */
  async load(model, { adapter = true, contextTokens, template, cache = true, signal, onProgress } = {}) {
    this.loaded = false;
    const result = await this.#fetching(async (fetcher) => {
      // A cancel ends the load wherever it is; what fails first ends the other side too.
      const control = new AbortController();
      const stop = () => control.abort();
      if (signal?.aborted) throw cancelled();
      signal?.addEventListener('abort', stop);
      try {
        const sealed = await this.#startSealed(fetcher, control.signal);
        const args = { adapter, contextTokens, template };
        const options = { signal: control.signal, onEvent: onProgress };
        if (Array.isArray(model)) return await sealed.call('load', { ...args, files: model }, options);
        const { port1, port2 } = new MessageChannel();
        const fetched = { manifestUrl: absolute(model), cache, port: port1 };
        const bringing = fetcher.call('load', fetched, { signal: control.signal, transfer: [port1] });
        bringing.catch(stop);
        try {
          return await sealed.call('load', { ...args, port: port2 }, { ...options, transfer: [port2] });
        } finally {
          await bringing.catch(() => {}); // the next load finds the storage closed
        }
      } finally {
        signal?.removeEventListener('abort', stop);
      }
    });
    this.loaded = true;
    return result;
  }

  /**
   * Writes the impression of findings. Cancelling through `signal` resolves with what was written
   * and `stop: 'cancelled'`.
   * @param {string} findings
   * @param {object} [options] the engine's
   * @param {{ signal?: AbortSignal, onDelta?: (text: string, guard?: GuardReport) => void,
   *           onDraft?: (text: string, guard?: GuardReport) => void, // by beams: the whole text that leads so far
   *           onPrefill?: (done: number, total: number) => void }} [run] `guard`: of the text up to there; not each time
   */
  impression(findings, options, run) {
    return this.#write('impression', { findings, options }, run);
  }

  /**
   * Checks an impression against its findings. Needs no model: where none was loaded yet, the sealed worker
   * is started for it.
   * @param {string} findings
   * @param {string} impression
   * @param {{ prior?: string, part?: boolean, cut?: boolean, signal?: AbortSignal }} [options] `part`: it is still
   *   being written; `cut`: it ended because no more tokens were allowed
   * @returns {Promise<GuardReport>}
   */
  check(findings, impression, { prior, part = false, signal } = {}) {
    return this.sealed('check', { findings, impression, prior, part }, { signal });
  }

  /**
   * Writes a report in a format of the trade. Needs no model, as {@link RadllamaClient.check}.
   * @param {object} report with the engine's names (docs/export.md)
   * @param {'text' | 'markdown' | 'fhir' | 'hl7'} format
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<{ name: string, mime: string, bytes: Uint8Array }>}
   */
  export(report, format, { signal } = {}) {
    return this.sealed('export', { report, format }, { signal });
  }

  /**
   * Continues a prompt that is given as token ids.
   * @param {ArrayLike<number>} promptIds
   * @param {object} [options]
   * @param {Parameters<RadllamaClient['impression']>[2]} [run]
   */
  generate(promptIds, options, run) {
    return this.#write('generate', { promptIds: Array.from(promptIds), options }, run);
  }

  /**
   * Runs the loaded model with a PEFT adapter, in place of the one before. The model is not loaded
   * again; an adapter that does not fit it is refused and changes nothing.
   * @param {string | URL | { config: BufferSource | Blob, weights: BufferSource | Blob }} adapter a
   *   folder's address, or the contents of adapter_config.json and adapter_model.safetensors
   * @param {{ signal?: AbortSignal }} [options]
   */
  async setAdapter(adapter, { signal } = {}) {
    const files =
      typeof adapter === 'string' || adapter instanceof URL
        ? await this.#fetching((fetcher) => fetcher.call('adapter', { url: absolute(adapter) }, { signal }))
        : adapter;
    const [config, weights] = await Promise.all([contents(files.config), contents(files.weights)]);
    return this.#call('setAdapter', { config, weights }, { signal });
  }

  /** Drops the adapter: the base alone writes from here on. */
  dropAdapter() {
    return this.#call('dropAdapter');
  }

  /** The GPU adapter and the loaded model. */
  info() {
    return this.#call('info');
  }

  /** Name, notice, size and stored bytes of a model, without loading it. */
  probe(manifestUrl, { signal } = {}) {
    return this.#fetching((fetcher) => fetcher.call('probe', { manifestUrl: absolute(manifestUrl) }, { signal }));
  }

  /** The models in this browser's storage. */
  stored() {
    return this.#fetching((fetcher) => fetcher.call('stored'));
  }

  /** Removes stored models: the one with these files, or all. @param {readonly string[]} [sha256] */
  deleteStored(sha256) {
    return this.#fetching((fetcher) => fetcher.call('deleteStored', { sha256 }));
  }

  /**
   * Calls a method of the sealed worker that needs no model; where none was loaded yet, the worker is started
   * for it.
   * @param {string} method
   * @param {object} args
   * @param {{ signal?: AbortSignal }} [options]
   */
  async sealed(method, args, { signal } = {}) {
    if (signal?.aborted) throw cancelled();
    const running = await this.#sealed?.catch(() => null);
    const link = running?.link ?? (await this.#fetching((fetcher) => this.#startSealed(fetcher)));
    return link.call(method, args, { signal });
  }

  /** Ends the workers and all they hold. Calls that are under way fail as cancelled. */
  dispose() {
    this.#disposed = true;
    this.#fetcher?.end();
    this.#sealed?.then(({ link }) => link.end(), () => {});
  }

  /** Does something with a fetcher at hand; nothing that can connect is left when all of it is done. */
  async #fetching(work) {
    if (this.#disposed) throw cancelled();
    this.#fetcher ??= new Link(this.#fetcherWorker(), { onEnd: () => (this.#fetcher = null) });
    this.#uses++;
    try {
      return await work(this.#fetcher);
    } finally {
      if (--this.#uses === 0) this.#fetcher?.end();
    }
  }

  #fetcherWorker() {
    // Bundlers know a worker by this very form.
    if (!this.#baseUrl) return new Worker(new URL('./fetcher.js', import.meta.url), { type: 'module' });
    return new Worker(new URL('engine/fetcher.js', this.#baseUrl), { type: 'module' });
  }

  #ordinaryWorker() {
    if (!this.#baseUrl) return new Worker(new URL('./sealed.js', import.meta.url), { type: 'module' });
    return new Worker(new URL('engine/sealed.js', this.#baseUrl), { type: 'module' });
  }

  async #startSealed(fetcher, signal) {
    this.#sealed ??= this.#makeSealed(fetcher, signal);
    try {
      return (await this.#sealed).link;
    } catch (error) {
      this.#sealed = null;
      throw error;
    }
  }

  async #makeSealed(fetcher, signal) {
    const { source, module } = await fetcher.call('parts', {}, { signal });
    let made = null;
    made = await sealedLink(source, () => this.#ordinaryWorker(), {
      onNews: ({ lost }) => lost !== undefined && this.#lose(new RadllamaError('device_lost', `the GPU was lost (${lost || 'no reason given'}); load the model again`)),
      onEnd: (error) => {
        made?.remove();
        this.#sealed = null;
        this.#lose(error);
      },
    });
    try {
      this.about = await made.link.call('start', { module }, { signal });
    } catch (error) {
      made.link.end();
      const blocked = typed(error).message.includes('unsafe-eval');
      throw blocked ? new RadllamaError('wasm_refused', "the page's content security policy allows no WebAssembly: script-src must name 'wasm-unsafe-eval'") : error;
    }
    return made;
  }

  /** The model is gone. */
  #lose(error) {
    const had = this.loaded;
    this.loaded = false;
    if (had) this.#onLost(error);
  }

  async #call(method, args, options) {
    if (!this.#sealed) throw new RadllamaError('internal', 'no model is loaded');
    const { link } = await this.#sealed;
    try {
      return await link.call(method, args, options);
    } catch (error) {
      if (error.loaded === false) this.#lose(error);
      throw error;
    }
  }

  #write(method, args, run) {
    const onEvent = (event) => {
      if (event.type === 'delta') run?.onDelta?.(event.text, event.guard);
      if (event.type === 'draft') run?.onDraft?.(event.text, event.guard);
      if (event.type === 'prefill') run?.onPrefill?.(event.done, event.total);
    };
    return this.#call(method, args, { signal: run?.signal, onEvent });
  }
}

const absolute = (url) => new URL(url, document.baseURI).href;
const contents = (source) => (source instanceof Blob ? source.arrayBuffer() : source);
