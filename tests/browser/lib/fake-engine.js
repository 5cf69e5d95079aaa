/*
 * A double of www/radllama.js, served in its place: the page's states in a second instead of minutes on
 * a software GPU. It writes what the window's `fake` says, and fails where that says so:
 *   stored: bytes that are stored        text: what it writes          msPerWord, loadMs
 *   unsupported: a reason                storage: false                kept: false (a load stores nothing)
 *   loadError, writeError: { code, message }                           sealed
 *   guard: { support: [[words of a line, words of a findings sentence]], flags: [{ kind, severity, words, message,
 *   findings? }] (one without `words` stands at the end, unless the impression has `unless`), acute: [{ concept, label }] }
 */
const fake = Object.assign(
  {
    stored: 0, total: 108_197_745, loadMs: 400, msPerWord: 30, storage: true, kept: true, sealed: true, unsupported: null,
    text: 'New patchy airspace opacity in the right lower lobe, likely pneumonia. Small right pleural effusion. No pneumothorax. Recommend follow-up chest radiograph in 6 weeks to document resolution.',
  },
  globalThis.fake,
);
globalThis.fake = fake;
fake.calls = [];

export const version = '0.4.0';
export class RadllamaError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
const raise = ({ code, message }) => {
  throw new RadllamaError(code, message);
};
const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const end = () => reject(new RadllamaError('cancelled', 'cancelled'));
    if (signal?.aborted) return end();
    setTimeout(resolve, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
const NAME = 'SmolLM2-135M-Instruct, 4-bit, with a radiology adapter';
const sha256 = ['896ea879a780ad7e650c267877191960a13502a18ff2f5db845b9b516643242e', '11eb8566e54faaab0a68cd7e8cf42f625b0b4c9fb88baa5b46465853cc02124c'];
const variants = { matvec: 'subgroup', matmul: 'tiled', attention: 'subgroup', rms_norm: 'base' };
const place = (text, words) => (text.includes(words) ? [text.indexOf(words), text.indexOf(words) + words.length] : undefined);
const sentences = (text) => [...text.matchAll(/[^\n]+?(?:[.!?](?=\s|$)|(?=\n|$))/g)].map(({ 0: whole, index }) => {
  const line = whole.trim().replace(/^\d+\. /, '');
  const start = index + whole.indexOf(line);
  return { text: line, start, end: start + line.length };
}).filter(({ text }) => text !== '');

/** A double of the guard: it knows the words that `fake.guard` names. */
function check(findings, impression, { prior, part = false } = {}) {
  fake.calls.push({ call: 'check', findings, impression, prior });
  const { support = [], flags = [], acute = [] } = fake.guard ?? {};
  const lines = sentences(impression).map((line) => ({
    ...line,
    support: sentences(findings)
      .filter(({ text }) => support.some(([own, there]) => line.text.includes(own) && text.includes(there)))
      .map(({ start, end }) => [start, end]),
  }));
  const found = flags.flatMap(({ words, unless, findings: there, ...flag }) => {
    const at = words ? place(impression, words) : !part && !impression.includes(unless) && [impression.length, impression.length];
    if (!at) return [];
    const line = words ? lines.findIndex(({ start, end }) => start <= at[0] && at[0] < end) : lines.length - 1;
    return [{ ...flag, line, start: at[0], end: at[1], ...(there && place(findings, there) ? { findings: place(findings, there) } : {}) }];
  });
  const told = acute.filter(({ label }) => findings.toLowerCase().includes(label.toLowerCase())).map((one) => ({ certain: true, section: 'findings', start: 0, end: 1, ...one }));
  return { lines, flags: found.sort((a, b) => a.start - b.start), acute: told };
}

const stored = () => ({ name: NAME, totalBytes: fake.total, storedBytes: fake.stored, sha256 });

export class ImpressionEngine {
  static async supported() {
    return {
      supported: !fake.unsupported, code: fake.unsupported ? 'no_webgpu' : null, reason: fake.unsupported,
      gpu: null, storage: { available: fake.storage, usedBytes: fake.stored + 200_000, quotaBytes: 12e9 },
    };
  }

  static async probe() {
    if (fake.probeError) raise(fake.probeError);
    return { ...stored(), notice: null };
  }

  static async stored() {
    return fake.stored ? [stored()] : [];
  }

  static async check(...args) {
    return check(...args);
  }

  async check(...args) {
    return check(...args);
  }

  static async export(report, format) {
    fake.calls.push({ call: 'export', report, format });
    if (fake.exportError) throw new RadllamaError(fake.exportError.code, fake.exportError.message);
    const ending = { text: 'txt', markdown: 'md', fhir: 'fhir.json', hl7: 'hl7' }[format];
    const text = report.impression.map((line, index) => `${index + 1}. ${line}\n`).join('');
    return { name: `${report.id ?? 'report'}.${ending}`, mime: 'text/plain', bytes: new TextEncoder().encode(text) };
  }

  export(...args) {
    return ImpressionEngine.export(...args);
  }

  static async deleteStored() {
    fake.stored = 0;
  }

  static async load({ model = '', adapter, template, signal, onProgress }) {
    fake.calls.push({ call: 'load', model: typeof model === 'string' ? model : model.map(({ name }) => name), adapter: adapter?.weights?.name ?? adapter, template });
    const local = typeof model !== 'string';
    const { total } = fake;
    const cached = fake.stored;
    const news = (phase, loaded, pushed, done = 0) =>
      onProgress?.({ phase, totalBytes: total, loadedBytes: loaded, cachedBytes: cached, networkBytes: local ? 0 : loaded - cached, pushedBytes: pushed, pipelines: { done, total: 9 } });
    news('start', 0, 0);
    for (let step = 1; step <= 20; step++) {
      await sleep(fake.loadMs / 20, signal);
      const loaded = Math.round(cached + ((total - cached) * step) / 20);
      if (fake.kept && !local) fake.stored = loaded;
      if (fake.loadError && step > 8) {
        const error = fake.loadError;
        fake.loadError = null;
        raise(error);
      }
      news('load', loaded, (total * step) / 20);
    }
    news('prepare', total, total, 6);
    return (fake.engine = new ImpressionEngine(local ? model[0].name : NAME, total - cached));
  }

  constructor(name, networkBytes) {
    const { sealed } = fake;
    this.lost = new Promise((resolve) => (this.lose = () => {
      this.gone = new RadllamaError('device_lost', 'the GPU was lost; load the model again');
      resolve(this.gone);
    }));
    this.info = {
      version, sealed,
      gpu: { name: 'Test double', driver: 'none', vendor: 'double', architecture: 'none', tier: 'gpu', features: ['shader-f16', 'subgroups'], variants, passedOver: {}, maxBindingBytes: 2 ** 31 },
      model: { name, notice: 'A research model: it learned from 2,400 chest X-ray reports of one source. Check every sentence.', licence: 'Base Apache-2.0; adapter for research use', template: 'report', contextTokens: 2048, gpuBytes: 131e6, sha256, adapter: { sha256: sha256[0], rank: 16, baseModel: 'SmolLM2-135M-Instruct' } },
      load: { totalBytes: fake.total, cachedBytes: 0, networkBytes, loadMs: 5210, wasmBytes: 21e6 },
    };
  }

  impression(findings, options = {}) {
    fake.calls.push({ call: 'impression', findings, instruction: options.instruction, prior: options.prior, beams: options.beams, maxNewTokens: options.maxNewTokens });
    const events = [];
    let wake = () => {};
    const write = async () => {
      for (let done = 0; done <= 120; done += 40) {
        options.onPrefill?.(done, 120);
        await sleep(fake.msPerWord, options.signal);
      }
      if (fake.writeError) {
        const error = fake.writeError;
        fake.writeError = null;
        raise(error);
      }
      let text = '';
      let stop = 'eos';
      for (const delta of fake.text.match(/\S+\s*/g) ?? []) {
        if (this.gone) throw this.gone;
        if (await sleep(fake.msPerWord, options.signal).then(() => false, () => true)) {
          stop = 'cancelled';
          break;
        }
        text += delta;
        events.push({ text, delta, guard: check(findings, text, { prior: options.prior, part: true }) });
        wake();
      }
      const words = text.split(' ').length;
      return {
        text, stop, ids: [], variants, guard: check(findings, text, { prior: options.prior }), modelSha256: sha256, adapterSha256: null, version,
        tokens: { prompt: 121, reused: 40, generated: words },
        timings: { prefillMs: 96, decodeMs: 1210, prefillTokensPerS: 843, decodeTokensPerS: 52.6 },
      };
    };
    let ended = false;
    const result = write().finally(() => {
      ended = true;
      wake();
    });
    return {
      result,
      async *[Symbol.asyncIterator]() {
        for (let at = 0; ; at++) {
          while (at >= events.length) {
            if (ended) return void (await result);
            await new Promise((resolve) => (wake = resolve));
          }
          yield events[at];
        }
      },
    };
  }

  async swapAdapter(adapter) {
    fake.calls.push({ call: 'swapAdapter', adapter: adapter?.weights?.name ?? adapter });
    if (fake.adapterError) raise(fake.adapterError);
    return this.info;
  }

  dispose() {
    this.gone = new RadllamaError('cancelled', 'the engine was put away');
  }
}
