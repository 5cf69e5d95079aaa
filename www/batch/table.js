import { $, el } from '../app/dom.js';
import { DONE, FAILED, FLAGS, UNREADABLE } from './store.js';

/** Rows of a page: the table stays light, however long the batch. */
const PAGE = 50;

export const FILTERS = {
  all: 'All', done: 'Done', waiting: 'Waiting', errors: 'Errors', hard: 'Hard flags', soft: 'Soft flags',
};

/** The rows of a batch, a page at a time. Rows that have not changed are left as they are. */
export class Table {
  filter = 'all';
  /** The rows that the filter shows, and the first of this page. */
  rows = [];
  #first = 0;
  #shown = new Map();
  #drawing = null;
  #store;
  #batch;

  /** @param {(row: number) => void} onOpen */
  constructor(onOpen) {
    const radio = ([value, label]) =>
      el('label', {}, el('input', { type: 'radio', name: 'filter', value, checked: value === 'all' }), label, el('span', { class: 'num', 'data-count': value }, '0'));
    $('filters').replaceChildren(...Object.entries(FILTERS).map(radio));
    $('filters').onchange = ({ target }) => this.choose(target.value);
    $('previous').onclick = () => this.#turn(-PAGE);
    $('next').onclick = () => this.#turn(PAGE);
    $('rows').onclick = ({ target }) => {
      const row = target.closest('tr')?.dataset.row;
      if (row) onOpen(Number(row));
    };
  }

  /** @param {import('./store.js').Store} store @param {import('./batch.js').Batch} batch */
  use(store, batch) {
    this.#store = store;
    this.#batch = batch;
    this.#shown.clear();
    $('rows').replaceChildren();
    this.choose('all');
  }

  /** @param {keyof typeof FILTERS} filter */
  choose(filter) {
    this.filter = filter;
    this.#first = 0;
    for (const input of $('filters').querySelectorAll('input')) input.checked = input.value === filter;
    return this.draw();
  }

  #turn(by) {
    this.#first += by;
    this.draw();
    document.querySelector('.results').scrollTop = 0;
  }

  /** Brings the page up to date; calls while one is under way become one. */
  draw() {
    this.#drawing ??= Promise.resolve().then(async () => {
      this.#drawing = null;
      await this.#draw();
    });
    return this.#drawing;
  }

  async #draw() {
    const batch = this.#batch;
    if (!batch) return;
    const { waiting, done, failed, unreadable, hard, soft } = batch.counts;
    const counts = { all: batch.total, done, waiting, errors: failed + unreadable, hard, soft };
    for (const [name, count] of Object.entries(counts)) document.querySelector(`[data-count="${name}"]`).textContent = count;
    this.rows = batch.matching(this.filter);
    this.#first = Math.max(0, Math.min(this.#first, Math.floor((this.rows.length - 1) / PAGE) * PAGE));
    const page = this.rows.slice(this.#first, this.#first + PAGE);
    const look = (row) => `${batch.states[row]} ${batch.flags[row]} ${batch.current === row}`;
    const stale = page.filter((row) => this.#shown.get(row)?.look !== look(row));
    const entries = new Map((await this.#store.entries(stale)).map((entry, at) => [stale[at], entry]));
    if (batch !== this.#batch) return;
    const shown = new Map();
    for (const row of page) {
      const before = this.#shown.get(row);
      const element = before?.element ?? el('tr', { 'data-row': row });
      if (entries.has(row)) this.#fill(element, entries.get(row), row === batch.current);
      shown.set(row, { element, look: entries.has(row) ? look(row) : before.look });
    }
    this.#shown = shown;
    const wanted = page.map((row) => shown.get(row).element);
    if (wanted.length !== $('rows').children.length || wanted.some((element, at) => $('rows').children[at] !== element)) {
      $('rows').replaceChildren(...wanted);
    }
    const { length } = this.rows;
    $('none').hidden = length > 0;
    $('table').hidden = length === 0;
    $('range').textContent = length === 0 ? '' : `${this.#first + 1}–${this.#first + page.length} of ${length}`;
    $('previous').disabled = this.#first === 0;
    $('next').disabled = this.#first + PAGE >= length;
  }

  /** Keeps the button of a row, which may have the focus. */
  #fill(element, { row, result }, current) {
    const state = this.#batch.states[row.row];
    const button = element.querySelector('button') ?? el('button', { type: 'button', 'aria-label': `Open row ${row.row}` }, String(row.row));
    element.toggleAttribute('data-current', current);
    const error = row.error ?? result?.error;
    const text = error ? error.message : (result?.impression ?? (current ? 'Writing …' : ''));
    const kind = state === FAILED || state === UNREADABLE ? 'clip wrong' : 'clip';
    const ms = result?.timings ? result.timings.prefillMs + result.timings.decodeMs : NaN;
    const cells = [
      el('td', { class: 'n' }, button),
      el('td', { title: row.id ?? '' }, row.id ?? '–'),
      el('td', {}, el('div', { class: kind, dir: 'auto' }, text || (state === DONE ? 'Nothing was written.' : ''))),
      el('td', {}, ...flagsOf(result)),
      el('td', { class: 'n soft' }, Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : ''),
    ];
    const hadFocus = document.activeElement === button;
    element.replaceChildren(...cells);
    if (hadFocus) button.focus();
  }
}

/** @param {import('./store.js').Result | undefined} result */
function flagsOf(result) {
  const flags = result?.guard?.flags ?? [];
  return FLAGS.slice(1).toReversed().flatMap((severity) => {
    const kinds = [...new Set(flags.filter((flag) => flag.severity === severity).map(({ kind }) => kind))];
    return kinds.map((kind) => el('span', { class: 'flag', 'data-severity': severity }, el('span', { class: 'visually-hidden' }, `${severity}: `), kind));
  });
}
