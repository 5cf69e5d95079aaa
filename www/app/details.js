import { ImpressionEngine, version } from '../radllama.js';
import { watchSent } from './sent.js';
import { ask } from './dialogs.js';
import { $, el, fillTerms, toast } from './dom.js';
import { count, formatBytes, formatRate } from './format.js';
import { icon } from './icons.js';
import { keep, kept } from './kept.js';

const KEY = 'radllama-details';

/** The details beside the work: what was sent, how fast, on which device, what is stored. */
export class Details {
  #listed = false;

  /** @param {import('./session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.sent = watchSent(() => this.#showSent());
    $('details-button').onclick = () => this.toggle();
    $('details-close').onclick = () => this.toggle(false);
    $('delete-all').onclick = () => this.#deleteAll();
    $('details').addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#beside) return;
      event.stopPropagation();
      this.toggle(false);
    });
    if (this.#beside && kept(KEY) !== 'closed') this.#open(true);
    this.#showSent();
    this.showEngine();
    this.showResult(null);
  }

  /** Whether there is room for it beside the work. */
  get #beside() {
    return matchMedia('(min-width: 1600px)').matches;
  }

  toggle(open = $('details').hidden) {
    this.#open(open);
    keep(KEY, open ? 'open' : 'closed');
    if (open) $('details-title').focus();
    else $('details-button').focus();
  }

  #open(open) {
    $('details').hidden = !open;
    $('details-button').ariaExpanded = String(open);
    // Listed once, and again after a load or a deletion: looking at the list asks nobody anything.
    if (open && !this.#listed) this.showStored();
  }

  #showSent() {
    const { requests, bytes, how } = this.sent.read();
    $('sent-bytes').textContent = formatBytes(bytes);
    $('sent-requests').textContent = `${count(requests, 'request')} since the model was loaded`;
    $('sent-how').replaceChildren(...how.map((line) => el('li', {}, line)));
  }

  showEngine() {
    const info = this.session.engine?.info;
    if (!info) {
      fillTerms($('device'), { Status: 'Shown once a model is loaded.' });
      fillTerms($('about'), { Status: 'None loaded.', 'Page version': version });
      return;
    }
    const { gpu, model, load, sealed } = info;
    const from = load.networkBytes === 0 ? 'from this device' : `${formatBytes(load.networkBytes)} fetched`;
    fillTerms($('device'), {
      Graphics: [...new Set([gpu.name, gpu.vendor, gpu.architecture])].filter(Boolean).join(' · '),
      Driver: gpu.driver,
      Tier: gpu.tier === 'cpu' ? 'Processor in a GPU’s place' : 'GPU',
      Features: gpu.features.join(', ') || 'none needed',
      Kernels: pairs(gpu.variants),
      'Passed over': pairs(gpu.passedOver),
      'GPU memory': model.gpuBytes ? `${formatBytes(model.gpuBytes)} for the model` : '',
      'Page memory': `${formatBytes(load.wasmBytes)} (WebAssembly)`,
      Sealed: sealed ? 'Yes: it tried to connect, and was refused' : 'No: this browser did not refuse connections',
    });
    fillTerms($('about'), {
      Name: model.name,
      Notice: model.notice,
      Licence: model.licence,
      Template: model.template,
      Context: `${model.contextTokens} tokens`,
      Loaded: `${from}, in ${(load.loadMs / 1000).toFixed(1)} s`,
      'Model SHA-256': hashes(model.sha256),
      Adapter: model.adapter ? `rank ${model.adapter.rank}, on ${model.adapter.baseModel}` : 'none',
      'Adapter SHA-256': model.adapter && hashes([model.adapter.sha256]),
      'Page version': version,
    });
  }

  /** @param {import('../index.d.ts').ImpressionResult | null} result */
  showResult(result) {
    if (!result) return fillTerms($('last'), { Status: 'Nothing written yet.' });
    const { tokens, timings } = result;
    fillTerms($('last'), {
      Prefill: `${formatRate(timings.prefillTokensPerS)}, ${(timings.prefillMs / 1000).toFixed(1)} s`,
      Decode: `${formatRate(timings.decodeTokensPerS)}, ${(timings.decodeMs / 1000).toFixed(1)} s`,
      Read: `${count(tokens.prompt, 'token')}${tokens.reused ? `, ${tokens.reused} of them kept from before` : ''}`,
      Written: count(tokens.generated, 'token'),
    });
  }

  /** The models in the browser's storage, each with its way out. */
  async showStored() {
    this.#listed = true;
    const [models, { storage }] = await Promise.all([
      ImpressionEngine.stored().catch(() => []),
      ImpressionEngine.supported().catch(() => ({ storage: { available: false } })),
    ]);
    const row = (model) => {
      const { name, totalBytes, storedBytes } = model;
      const size = storedBytes < totalBytes ? `${formatBytes(storedBytes)} of ${formatBytes(totalBytes)}` : formatBytes(totalBytes);
      const button = el('button', { class: 'icon-button', type: 'button', 'aria-label': `Delete ${name}` }, icon('trash'));
      button.onclick = () => this.#delete(model);
      return el('li', {}, el('div', {}, el('p', { class: 'name' }, name), el('p', { class: 'soft num' }, size)), button);
    };
    const none = storage.available ? 'No model is stored.' : 'This browser keeps no files for this page, as in some private windows. Models work, and are fetched each time.';
    $('stored').replaceChildren(...(models.length ? models.map(row) : [el('li', { class: 'soft' }, none)]));
    $('delete-all').hidden = models.length === 0;
    const known = storage.usedBytes !== null && storage.usedBytes !== undefined && storage.quotaBytes;
    $('quota').textContent = known ? `${formatBytes(storage.usedBytes)} in use of ${formatBytes(storage.quotaBytes)} that the browser allows` : '';
  }

  async #delete(model) {
    const text = 'A model that is loaded goes on working until this page is closed. It has to be downloaded again after that.';
    if (!(await ask({ title: `Delete ${model.name}?`, text, yes: 'Delete' }))) return;
    await this.#forget(() => ImpressionEngine.deleteStored(model), 'Deleted');
  }

  async #deleteAll() {
    const text = 'They have to be downloaded again before they can be used without a connection.';
    if (!(await ask({ title: 'Delete all stored models?', text, yes: 'Delete all' }))) return;
    await this.#forget(() => ImpressionEngine.deleteStored(), 'All stored models are deleted');
  }

  async #forget(work, done) {
    try {
      await work();
      toast(done);
    } catch (error) {
      toast(`Not deleted: ${error.message}`);
    }
    await this.showStored();
    $('details-title').focus();
    this.onForget?.();
  }
}

const pairs = (record) => {
  const entries = Object.entries(record ?? {});
  return entries.length ? el('ul', {}, ...entries.map(([key, value]) => el('li', {}, `${key}: ${value}`))) : null;
};
const hashes = (all) => (all.length ? el('ul', {}, ...all.map((hash) => el('li', {}, el('code', {}, hash)))) : null);
