/**
 * A study that is written here: from a file of findings, each impression by two systems of one model. What is
 * written is kept at once, so that a reload goes on with the next.
 */
import { ImpressionEngine, RadllamaError } from '../radllama.js';
import { $, el } from '../app/dom.js';
import { count, formatBytes, formatLeft } from '../app/format.js';

const NAMES = ['adapter', 'base'];
const ADAPTERS = [['own', 'The model’s own adapter'], ['none', 'No adapter: the base alone'], ['files', 'Another PEFT adapter, from disk']];
/** What a report may be refused for; it is left out then. */
const REFUSED = new Set(['prompt_too_long', 'bad_text', 'empty_findings', 'beams_too_long']);

export class Maker {
  #reports = null;
  #title = '';
  #files = [null, null];
  #read;
  #onBegin;

  /**
   * @param {(name: string, bytes: Uint8Array) => Promise<object[]>} read a file of findings
   * @param {(draft: import('./store.js').Draft) => void} onBegin
   */
  constructor(read, onBegin) {
    this.#read = read;
    this.#onBegin = onBegin;
    for (const at of [0, 1]) document.querySelector(`[data-system="${at}"]`).append(...this.#fields(at));
    $('findings-pick').onclick = () => $('findings-file').click();
    $('findings-file').onchange = () => this.#take($('findings-file').files[0]);
    $('make').oninput = () => this.#problem('');
    $('make').onsubmit = (event) => {
      event.preventDefault();
      this.#begin();
    };
  }

  #fields(at) {
    const id = (name) => `system-${at}-${name}`;
    const select = el('select', { id: id('adapter'), 'aria-label': `Adapter of system ${at + 1}` }, ...ADAPTERS.map(([value, text]) => el('option', { value }, text)));
    select.value = at === 0 ? 'own' : 'none';
    const pick = el('button', { type: 'button', id: id('pick'), hidden: true }, 'Choose its two files');
    const input = el('input', { type: 'file', id: id('files'), multiple: true, accept: '.json,.safetensors', class: 'visually-hidden', tabIndex: -1, 'aria-hidden': 'true' });
    select.onchange = () => (pick.hidden = select.value !== 'files');
    pick.onclick = () => input.click();
    input.onchange = () => {
      const files = [...input.files];
      const config = files.find(({ name }) => name.endsWith('.json'));
      const weights = files.find(({ name }) => name.endsWith('.safetensors'));
      this.#files[at] = config && weights ? { config, weights } : null;
      pick.textContent = this.#files[at] ? weights.name : 'Choose its two files';
      this.#problem(this.#files[at] ? '' : 'An adapter is two files: adapter_config.json and adapter_model.safetensors.');
    };
    const name = el('input', { type: 'text', id: id('name'), value: NAMES[at], autocomplete: 'off', spellcheck: false, 'aria-label': `Name of system ${at + 1}` });
    return [el('p', { class: 'row' }, name), el('p', { class: 'row' }, el('span', { class: 'select' }, select, el('span', { 'data-icon': 'chevron-down' })), pick, input)];
  }

  async #take(file) {
    $('findings-file').value = '';
    if (!file) return;
    try {
      this.#reports = await this.#read(file.name, new Uint8Array(await file.arrayBuffer()));
      this.#title = file.name.replace(/\.[^.]+$/, '');
      $('findings-about').textContent = `${file.name}: ${count(this.#reports.length, 'report')}`;
      $('make-count').value = String(Math.min(this.#reports.length, Number($('make-count').value) || 30));
      if (!$('make-name').value) $('make-name').value = this.#title;
      this.#problem('');
    } catch (error) {
      this.#problem(error.message);
    }
  }

  #begin() {
    if (!this.#reports) return this.#problem('Choose a file of findings first.');
    const wanted = Number($('make-count').value);
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > this.#reports.length) return this.#problem(`The number of reports must be 1 to ${this.#reports.length}.`);
    const system = (at) => {
      const adapter = $(`system-${at}-adapter`).value;
      return { name: $(`system-${at}-name`).value.trim(), adapter: adapter === 'files' ? this.#files[at] : adapter };
    };
    const systems = [system(0), system(1)];
    if (systems.some(({ adapter }) => !adapter)) return this.#problem('Choose the two files of the adapter.');
    if (systems.some(({ name }) => !name) || systems[0].name === systems[1].name) return this.#problem('Give the two systems different names.');
    if (systems[0].adapter === systems[1].adapter) return this.#problem('The two systems are the same; choose another adapter for one of them.');
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    this.#onBegin({ title: $('make-name').value.trim(), seed, systems, reports: drawn(this.#reports, wanted), outputs: {} });
  }

  #problem(text) {
    $('make-problem').textContent = text;
    $('make-problem').hidden = text === '';
  }
}

/** So many of the reports, chosen by chance, in their order. */
function drawn(reports, wanted) {
  const rows = reports.map((_, row) => row);
  for (let at = 0; at < wanted; at++) {
    const other = at + Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * (rows.length - at));
    [rows[at], rows[other]] = [rows[other], rows[at]];
  }
  return rows.slice(0, wanted).sort((a, b) => a - b).map((row) => reports[row]);
}

/**
 * Writes what a draft lacks.
 * @param {import('./store.js').Draft} draft
 * @param {{ model?: string, contextTokens?: number, maxNewTokens?: number, signal: AbortSignal,
 *           keep: (draft: import('./store.js').Draft) => Promise<void>,
 *           tell: (phase: string, fraction?: number, left?: string) => void }} options
 */
export async function write(draft, { model, contextTokens, maxNewTokens, signal, keep, tell }) {
  // The model comes with its own adapter, so the system that has it goes first.
  const order = [...draft.systems].sort((a, b) => Number(b.adapter === 'own') - Number(a.adapter === 'own'));
  const total = draft.reports.length * order.length;
  const written = () => Object.values(draft.outputs).reduce((sum, outputs) => sum + outputs.length, 0);
  let engine = null;
  let gone = null; // why the engine went away by itself
  try {
    for (const { name, adapter } of order) {
      const outputs = (draft.outputs[name] ??= []);
      if (outputs.length === draft.reports.length) continue;
      const source = adapter === 'own' ? undefined : adapter === 'none' ? null : adapter;
      if (engine) {
        await engine.swapAdapter(source, { signal });
      } else {
        const onProgress = ({ totalBytes, loadedBytes }) => tell(totalBytes ? `Loading the model, ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}` : 'Loading the model');
        const options = { model, contextTokens, signal, onProgress };
        engine = await ImpressionEngine.load(source === undefined ? options : { ...options, adapter: source });
        engine.lost.then((error) => (gone = error));
      }
      const begun = { at: performance.now(), written: written() };
      while (outputs.length < draft.reports.length) {
        const done = written();
        const pace = (performance.now() - begun.at) / 1000 / Math.max(1, done - begun.written);
        tell(`${done} of ${total} impressions`, done / total, done > begun.written ? formatLeft(pace * (total - done)) : '');
        outputs.push(await impression(engine, draft.reports[outputs.length].findings, { signal, maxNewTokens }));
        await keep(draft);
      }
    }
  } catch (error) {
    throw gone ?? error;
  } finally {
    engine?.dispose();
  }
}

async function impression(engine, findings, options) {
  try {
    const { text, stop } = await engine.impression(findings, options).result;
    if (stop === 'cancelled') throw new RadllamaError('cancelled', 'cancelled');
    return text;
  } catch (error) {
    if (REFUSED.has(error.code)) return null;
    throw error;
  }
}

/** What a study is made of, and how many reports are left out. @param {import('./store.js').Draft} draft */
export function made({ title, seed, systems, reports, outputs }) {
  const names = systems.map(({ name }) => name).sort();
  const whole = reports
    .map((report, row) => ({ ...report, outputs: names.map((name) => outputs[name][row]) }))
    .filter(({ outputs }) => outputs.every((text) => text !== null));
  return { made: { title, seed, systems: names, reports: whole }, leftOut: reports.length - whole.length };
}
