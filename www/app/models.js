import { ImpressionEngine } from '../radllama.js';
import { $, el } from './dom.js';
import { hasFiles, listenToDrops } from './drop.js';
import { count, formatBytes } from './format.js';

/** @typedef {import('./session.js').Choice} Choice */

/**
 * The picker of model and adapter. Files come by file dialog or dropped on the page; they are handed to
 * the engine as they are, and read in place.
 */
export class ModelPicker {
  #gguf = [];
  #peft = null;
  #sized = false;

  /** @param {{ label: string, url: string, about: string }[]} offered @param {(choice: Choice) => void} onChoose */
  constructor(offered, onChoose) {
    this.offered = offered;
    this.onChoose = onChoose;
    const choice = ({ label, url, about }) =>
      el('label', { class: 'choice' }, el('input', { type: 'radio', name: 'model', value: url }),
        el('span', {}, el('b', {}, label), el('span', { class: 'soft', 'data-size': url }, about)));
    $('model-choices').replaceChildren(...offered.map(choice));
    this.#check('model', offered[0].url);
    $('model-form').onchange = () => this.#show();
    $('model-form').onsubmit = (event) => this.#submit(event);
    for (const id of ['gguf', 'peft', 'peft-folder']) {
      $(`${id}-pick`).onclick = () => $(id).click();
      $(id).onchange = (event) => {
        event.stopPropagation(); // the form's own would take the problem back
        this.#take([...$(id).files]);
        $(id).value = '';
        $(`${id}-pick`).focus();
      };
    }
    listenToDrops({
      wanted: hasFiles,
      barred: hasFiles,
      take: async (transfer) => {
        const files = await droppedFiles(transfer);
        this.open();
        this.#take(files);
      },
    });
  }

  open() {
    if (!$('model-dialog').open) $('model-dialog').showModal();
    this.#show();
    this.#showSizes();
  }

  openForDisk() {
    this.#check('model', 'disk');
    this.open();
  }

  /** How large each offered model is and how much of it is here; asked once. */
  async #showSizes() {
    if (this.#sized) return;
    this.#sized = true;
    for (const { url, about } of this.offered) {
      const known = await ImpressionEngine.probe(url).catch(() => null);
      if (!known) continue;
      const left = known.totalBytes - known.storedBytes;
      const size = left === 0 ? `${formatBytes(known.totalBytes)}, stored here` : `${formatBytes(left)} to download`;
      document.querySelector(`[data-size="${CSS.escape(url)}"]`).textContent = `${about} · ${size}`;
    }
  }

  #check(name, value) {
    for (const input of $('model-form').elements[name]) input.checked = input.value === value;
  }

  #show(problem = '') {
    const { model, adapter } = this.#values;
    $('disk-model-fields').hidden = model !== 'disk';
    $('disk-adapter-fields').hidden = adapter !== 'disk';
    $('model-problem').textContent = problem;
    $('model-problem').hidden = problem === '';
    const parts = this.#gguf;
    const size = formatBytes(parts.reduce((sum, { size }) => sum + size, 0));
    $('disk-model').textContent = parts.length === 0 ? 'From disk; one file, or all parts of a split one'
      : parts.length === 1 ? `${parts[0].name} · ${size}` : `${count(parts.length, 'part')} of ${parts[0].name} · ${size}`;
    $('disk-adapter').textContent = this.#peft
      ? `${this.#peft.weights.name} · ${formatBytes(this.#peft.weights.size)}` : 'adapter_config.json and adapter_model.safetensors';
  }

  get #values() {
    return Object.fromEntries(new FormData($('model-form')));
  }

  /** Sorts files by what they are; says what is missing. */
  #take(files) {
    const gguf = files.filter(({ name }) => /\.gguf$/i.test(name)).toSorted((a, b) => a.name.localeCompare(b.name));
    const config = files.find(({ name }) => /^adapter_config\.json$/i.test(name)) ?? files.find(({ name }) => /\.json$/i.test(name));
    const weights = files.find(({ name }) => /^adapter_model\.safetensors$/i.test(name)) ?? files.find(({ name }) => /\.safetensors$/i.test(name));
    let problem = '';
    if (gguf.length) {
      this.#gguf = gguf;
      this.#check('model', 'disk');
    }
    if (config && weights) {
      this.#peft = { config, weights };
      this.#check('adapter', 'disk');
    } else if (weights || (config && gguf.length === 0)) {
      problem = `An adapter is two files; ${weights ? 'adapter_config.json' : 'adapter_model.safetensors'} is missing. Choose both together.`;
    } else if (gguf.length === 0) {
      problem = 'None of these files is a model or an adapter: a GGUF file, or a PEFT adapter’s two files, are needed.';
    }
    this.#show(problem);
  }

  #submit(event) {
    event.preventDefault();
    const { model, adapter, template } = this.#values;
    if (model === 'disk' && this.#gguf.length === 0) return this.#show('Choose a GGUF file first.');
    if (adapter === 'disk' && !this.#peft) return this.#show('Choose the adapter’s two files first.');
    const offered = this.offered.find(({ url }) => url === model);
    /** @type {Choice} */
    const choice = offered ? { model: offered.url, label: offered.label } : { model: this.#gguf, label: this.#gguf[0].name };
    if (!offered && template) choice.template = template;
    if (adapter === 'none') choice.adapter = null;
    if (adapter === 'disk') choice.adapter = this.#peft;
    $('model-dialog').close();
    this.onChoose(choice);
  }
}

/** Files that were dropped, those of a folder too. @param {DataTransfer} transfer @returns {Promise<File[]>} */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...transfer.files];
  if (!entries.some(({ isDirectory }) => isDirectory)) return plain;
  const read = (entry) =>
    new Promise((resolve, reject) => {
      if (entry.isFile) entry.file((file) => resolve([file]), reject);
      else entry.createReader().readEntries((found) => resolve(found.filter(({ isFile }) => isFile)), reject);
    });
  const lists = await Promise.all(entries.map((entry) => read(entry)));
  const files = await Promise.all(lists.flat().map((found) => (found instanceof File ? [found] : read(found))));
  return files.flat();
}
