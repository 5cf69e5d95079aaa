import { $, el } from '../app/dom.js';
import { hasFiles, listenToDrops } from '../app/drop.js';
import { formatBytes, sentence } from '../app/format.js';
import { drawIcons } from '../app/icons.js';

/** What a column can be, and what to call it. The findings must be there. */
const ROLES = {
  findings: 'Findings',
  id: 'Id',
  prior: 'Prior report (the model reads it)',
  comparison: 'Comparison (the guard reads it)',
  reference: 'Impression to score against',
};

/** The choice of a file and of what its columns are. */
export class Mapping {
  /** @type {File | null} */
  file = null;
  #reader;
  #onRead;
  #preview = null;
  /** Roles that the user has chosen for this file. */
  #chosen = {};
  #peek = 0;

  /**
   * @param {import('./reader.js').Reader} reader
   * @param {(file: File, how: { encoding?: string, options: object }) => void} onRead
   */
  constructor(reader, onRead) {
    this.#reader = reader;
    this.#onRead = onRead;
    $('pick').onclick = () => $('file').click();
    $('file').onchange = () => {
      const [file] = $('file').files;
      $('file').value = '';
      if (file) this.take(file);
    };
    $('map').onchange = ({ target }) => {
      if (target.dataset.role) this.#chosen[target.dataset.role] = target.value;
      else this.#look();
      this.#show();
    };
    $('map').onsubmit = (event) => {
      event.preventDefault();
      if (this.file) this.#onRead(this.file, this.how);
    };
    $('map-cancel').onclick = () => this.close();
    listenToDrops({
      wanted: (event) => hasFiles(event) && (!$('choose').hidden || !$('map').hidden),
      barred: () => true,
      take: ({ files: [file] }) => file && this.take(file),
    });
  }

  /** Called when the form is put away. */
  onClose = () => {};

  close() {
    this.file = null;
    $('map').hidden = true;
    this.onClose();
  }

  /** Shows what a file begins with. @param {File} file */
  async take(file) {
    if ($('choose').hidden && $('map').hidden) return; // a batch is there; it has to be deleted first
    this.file = file;
    this.#chosen = {};
    $('map').reset();
    $('choose').hidden = true;
    $('map').hidden = false;
    $('map-file').textContent = `${file.name}, ${formatBytes(file.size)}`;
    await this.#look();
    $('roles').querySelector('select')?.focus();
  }

  /** How the file is to be read. */
  get how() {
    const { format, delimiter, encoding } = Object.fromEntries(new FormData($('map')));
    // What nobody chose is found by its usual name, as on the command line.
    const options = { columns: { ...this.#chosen }, ...(format && { format }), ...(delimiter && format !== 'jsonl' && { delimiter }) };
    return { encoding: encoding || undefined, options };
  }

  #column(role) {
    return this.#chosen[role] ?? this.#preview?.found[role] ?? '';
  }

  async #look() {
    const peek = ++this.#peek;
    const { encoding, options } = this.how;
    delete options.columns;
    let problem = '';
    try {
      const preview = await this.#reader.peek(this.file, { encoding, options });
      if (peek !== this.#peek) return;
      this.#preview = preview;
      const names = new Set(preview.names);
      for (const [role, name] of Object.entries(this.#chosen)) if (name && !names.has(name)) delete this.#chosen[role];
    } catch (error) {
      if (peek !== this.#peek) return;
      this.#preview = null;
      problem = sentence(error.message);
    }
    this.#show(problem);
  }

  #show(problem = '') {
    const preview = this.#preview ?? { names: [], rows: [], found: {} };
    const selects = Object.entries(ROLES).map(([role, label]) => {
      const select = el('select', { 'data-role': role });
      select.append(new Option(role === 'findings' ? 'Choose a column' : role === 'id' ? 'None: the row’s number' : 'None', ''));
      for (const name of preview.names) select.append(new Option(name, name));
      select.value = this.#column(role);
      const box = el('span', { class: 'select' }, select, el('span', { 'data-icon': 'chevron-down' }));
      return el('label', {}, label, box);
    });
    const focused = document.activeElement?.dataset?.role;
    $('roles').replaceChildren(...selects);
    if (focused) $('roles').querySelector(`[data-role="${focused}"]`)?.focus();
    this.#showTable(preview);
    const nothing = !problem && preview.names.length === 0 ? 'Nothing in this file can be read that way.' : '';
    this.problem(problem || nothing || (this.#column('findings') ? '' : 'Say which column holds the findings.'));
    $('read').disabled = !this.#column('findings') || Boolean(problem || nothing);
    drawIcons();
  }

  /** @param {string} text */
  problem(text) {
    $('map-problem').textContent = text;
    $('map-problem').hidden = text === '';
  }

  #showTable({ names, rows }) {
    const roles = names.map((name) => Object.keys(ROLES).find((role) => this.#column(role) === name));
    const short = { findings: 'Findings', id: 'Id', prior: 'Prior', comparison: 'Comparison', reference: 'To score against' };
    const head = names.map((name, at) => el('th', { scope: 'col' }, el('span', { class: 'role' }, short[roles[at]] ?? ''), name || '(no name)'));
    const cell = (text, at) => el('td', { class: roles[at] ? 'used' : 'soft' }, el('div', {}, text.slice(0, 400)));
    const body = rows.map((row) => el('tr', {}, ...row.map(cell)));
    $('preview').hidden = names.length === 0;
    $('preview').replaceChildren(el('table', {}, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...body)));
  }
}
