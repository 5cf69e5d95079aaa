/**
 * The public interface of the package; index.d.ts has its types and says what each part does.
 */
import { RadllamaClient } from './client.js';
import { cancelled, typed } from './errors.js';
import { supported } from './support.js';

const DEFAULT_MODEL = 'weights/manifest.json';
const token = Symbol('made by load');

export class ImpressionEngine {
  /** @type {import('../index.d.ts').EngineInfo} */
  info;
  /** @type {Promise<import('./errors.js').RadllamaError>} */
  lost;

  #client;

  constructor(made, client, lost) {
    if (made !== token) throw new TypeError('engines are made by ImpressionEngine.load()');
    this.#client = client;
    this.lost = lost;
  }

  static supported() {
    return supported();
  }

  static async load({ model = DEFAULT_MODEL, adapter, onProgress, baseUrl, signal, ...options } = {}) {
    let tellLost;
    const lost = new Promise((resolve) => (tellLost = resolve));
    const client = new RadllamaClient({ baseUrl, onLost: tellLost });
    const engine = new ImpressionEngine(token, client, lost);
    try {
      const onEvent = onProgress && (({ type, ...progress }) => onProgress({ ...NO_PROGRESS, ...progress }));
      const args = { ...options, adapter: adapter === undefined, signal, onProgress: onEvent };
      engine.#tell(await client.load(files(model) ?? model, args));
      if (adapter) engine.#tell(await client.setAdapter(adapter, { signal }));
      return engine;
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  static async probe(model = DEFAULT_MODEL, { baseUrl, signal } = {}) {
    return withClient(baseUrl, (client) => client.probe(model, { signal }));
  }

  static stored() {
    return withClient(undefined, (client) => client.stored());
  }

  static deleteStored(model) {
    return withClient(undefined, (client) => client.deleteStored(model?.sha256));
  }

  static async check(findings, impression, { baseUrl, ...options } = {}) {
    return told(withoutModel(baseUrl).check(String(findings), String(impression), checking(options)));
  }

  static async export(report, format, { baseUrl, signal } = {}) {
    return told(withoutModel(baseUrl).export(exported(report), String(format), { signal }));
  }

  check(findings, impression, options = {}) {
    return told(this.#client.check(String(findings), String(impression), checking(options)));
  }

  async export(report, format, { signal } = {}) {
    const { name, sha256, adapter } = this.info.model;
    const provenance = { software: 'radllama', version: this.info.version, model: name, modelSha256: sha256, adapterSha256: adapter?.sha256 };
    const whole = { ...report, provenance: { ...provenance, ...report.provenance } };
    return told(this.#client.export(exported(whole), String(format), { signal }));
  }

  impression(findings, { signal, onPrefill, ...options } = {}) {
    const updates = new Updates();
    let text = '';
    const show = (whole, guard = null) => {
      const delta = whole.startsWith(text) ? whole.slice(text.length) : null;
      updates.push({ text: (text = whole), delta, guard });
    };
    const run = { signal, onPrefill, onDelta: (delta, guard) => show(text + delta, guard), onDraft: show };
    const writing = this.#client.impression(String(findings), snakeCased(options), run);
    const result = writing.then(
      (written) => {
        if (written.text !== text) show(written.text, written.guard); // the last word on the text is the result's
        updates.end();
        return this.#result(written);
      },
      (error) => {
        updates.end(typed(error));
        throw typed(error);
      },
    );
    result.catch(() => {}); // told to whoever awaits or iterates it
    return { result, [Symbol.asyncIterator]: () => updates };
  }

  async swapAdapter(adapter, { signal } = {}) {
    if (signal?.aborted) throw cancelled();
    this.#tell(await (adapter ? this.#client.setAdapter(adapter, { signal }) : this.#client.dropAdapter()));
    return this.info;
  }

  dispose() {
    this.#client.dispose();
  }

  #tell({ gpu, model, load = this.info?.load }) {
    const { passed_over: passedOver, max_binding_bytes: maxBindingBytes, ...device } = gpu;
    const { name, notice, licence, template, context, gpu_bytes: gpuBytes, sha256, adapter } = model;
    this.info = {
      ...this.#client.about,
      gpu: { ...device, passedOver, maxBindingBytes },
      model: {
        name, notice, licence, template, contextTokens: context, gpuBytes, sha256,
        adapter: adapter && { sha256: adapter.sha256, rank: adapter.rank, baseModel: adapter.base_model },
      },
      load,
    };
  }

  #result({ text, stop, prompt_tokens: prompt, reused_tokens: reused, ids, timings, guard }) {
    return {
      text,
      stop,
      tokens: { prompt, reused, generated: ids.length },
      timings: {
        prefillMs: timings.prefill_ms,
        decodeMs: timings.decode_ms,
        prefillTokensPerS: timings.prefill_tokens_per_s,
        decodeTokensPerS: timings.decode_tokens_per_s,
      },
      ids,
      guard,
      variants: this.info.gpu.variants,
      modelSha256: this.info.model.sha256,
      adapterSha256: this.info.model.adapter?.sha256 ?? null,
      version: this.info.version,
    };
  }
}

/** Clients that check and export without a model, by the address of the package. @type {Map<string, RadllamaClient>} */
const clients = new Map();

function withoutModel(baseUrl) {
  const key = String(baseUrl ?? '');
  if (!clients.has(key)) clients.set(key, new RadllamaClient({ baseUrl }));
  return clients.get(key);
}

/** A report with the engine's names and, if it has no time of its own, the time of now. @param {object} report */
function exported({ provenance, time, ...report }) {
  const now = new Date().toISOString();
  return { ...snakeCased(report), time: time ?? now, provenance: snakeCased(provenance ?? {}) };
}

const checking = ({ prior, part, cut, signal }) => ({ prior: prior ?? undefined, part: Boolean(part), cut: Boolean(cut), signal });

/** A promise whose failure is a RadllamaError. */
const told = (promise) => promise.catch((error) => Promise.reject(typed(error)));

const NO_PROGRESS = {
  totalBytes: 0, loadedBytes: 0, cachedBytes: 0, networkBytes: 0, pushedBytes: 0, pipelines: { done: 0, total: 0 },
};

/** Texts as they come, for one reader. */
class Updates {
  #queue = [];
  #ended = false;
  #error = null;
  #wake = () => {};

  push(update) {
    this.#queue.push(update);
    this.#wake();
  }

  end(error = null) {
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  async next() {
    while (this.#queue.length === 0 && !this.#ended) await new Promise((resolve) => (this.#wake = resolve));
    if (this.#queue.length > 0) return { value: this.#queue.shift(), done: false };
    if (this.#error) throw this.#error;
    return { value: undefined, done: true };
  }

  async return() {
    return { value: undefined, done: true }; // who stops reading does not stop the writing: `signal` does
  }
}

/** `{ maxNewTokens: 3 }` as the engine's `{ max_new_tokens: 3 }`, without what is undefined. */
function snakeCased(options) {
  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [snake(name), value]));
}

/** The user's own files in the order of a split, or nothing where the model is an address. */
function files(model) {
  const blobs = model instanceof Blob ? [model] : Array.isArray(model) ? model : null;
  if (!blobs) return null;
  const named = blobs.map((file, index) => ({ name: file.name ?? `file ${index + 1}`, file }));
  return named.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

async function withClient(baseUrl, work) {
  const client = new RadllamaClient({ baseUrl });
  try {
    return await work(client);
  } finally {
    client.dispose();
  }
}
