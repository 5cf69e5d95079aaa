import { $, el } from '../app/dom.js';

/** One row: the findings beside the impression, and what the guard says of it. */
export class Entry {
  #table;
  #store = null;
  #row = 0;

  /** @param {import('./table.js').Table} table whose rows are stepped through */
  constructor(table) {
    this.#table = table;
    $('entry-previous').onclick = () => this.#step(-1);
    $('entry-next').onclick = () => this.#step(1);
    $('entry').addEventListener('keydown', (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === 'ArrowLeft') this.#step(-1);
      if (event.key === 'ArrowRight') this.#step(1);
    });
  }

  /** @param {import('./store.js').Store} store */
  use(store) {
    this.#store = store;
  }

  /** @param {number} row */
  async open(row) {
    this.#row = row;
    const [{ row: report, result }] = await this.#store.entries([row]);
    if (this.#row !== row || !report) return;
    const { rows } = this.#table;
    const at = rows.indexOf(row);
    $('entry-previous').disabled = at <= 0;
    $('entry-next').disabled = at < 0 || at + 1 >= rows.length;
    $('entry-title').textContent = `Row ${row}${report.id === null || report.id === String(row) ? '' : `, ${report.id}`}`;
    $('entry-body').replaceChildren(...parts(report, result));
    if (!$('entry').open) $('entry').showModal();
    $('entry').scrollTop = 0;
  }

  #step(by) {
    const { rows } = this.#table;
    const next = rows[rows.indexOf(this.#row) + by];
    if (next) this.open(next);
  }
}

/** @param {import('./store.js').Row} report @param {import('./store.js').Result} [result] */
function* parts(report, result) {
  const error = report.error ?? result?.error;
  if (error) yield section('Not done', 'wide', el('p', { class: 'text' }, error.message), el('p', {}, el('code', { class: 'soft' }, error.code)));
  const guard = result?.guard;
  if (report.findings) {
    const places = (guard?.flags ?? []).filter(({ findings }) => findings).map(({ findings: [start, end], severity }) => ({ start, end, severity }));
    yield section('Findings', '', marked(report.findings, places));
  }
  if (result && !error) {
    const said = marked(result.impression || 'Nothing was written.', (guard?.flags ?? []).filter(({ start, end }) => end > start));
    said.classList.add('said');
    yield section('Impression', '', said);
  }
  if (guard) {
    const { flags } = guard;
    const item = ({ severity, kind, message }) => el('li', {}, el('span', { class: 'flag', 'data-severity': severity }, `${severity} ${kind}`), message);
    yield section('What the guard says', 'wide', flags.length ? el('ul', {}, ...flags.map(item)) : el('p', { class: 'soft' }, 'Nothing to flag.'));
  }
  if (report.reference) yield section('Impression to score against', 'wide', el('p', { class: 'text', dir: 'auto' }, report.reference));
  if (report.prior) yield section('Prior report', 'wide', el('p', { class: 'text', dir: 'auto' }, report.prior));
  if (report.comparison) yield section('Comparison', 'wide', el('p', { class: 'text', dir: 'auto' }, report.comparison));
  if (result?.timings) {
    const { timings, tokens, stop, rouge } = result;
    const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
    const terms = {
      Reading: seconds(timings.prefillMs), Writing: seconds(timings.decodeMs), Tokens: String(tokens.generated), Ended: stop === 'eos' ? 'by itself' : 'at the most tokens',
      ...(rouge && { 'ROUGE-1, -2, -L': rouge.map((score) => score.toFixed(3)).join(', ') }),
    };
    yield el('dl', { class: 'wide' }, ...Object.entries(terms).map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
  }
}

const section = (title, kind, ...children) => el('section', { class: kind }, el('h3', {}, title), ...children);

/**
 * A text with places marked. Where they overlap the first counts.
 * @param {string} text
 * @param {{ start: number, end: number, severity: string }[]} places in UTF-16 code units
 */
export function marked(text, places) {
  const parts = [];
  let at = 0;
  for (const { start, end, severity } of places.toSorted((a, b) => a.start - b.start)) {
    if (start < at || end > text.length || end <= start) continue;
    parts.push(text.slice(at, start), el('mark', { 'data-severity': severity }, text.slice(start, end)));
    at = end;
  }
  return el('p', { class: 'text', dir: 'auto' }, ...parts, text.slice(at));
}
