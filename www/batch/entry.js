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

  /** @param {number} row @param {boolean} [stepping] from another row: not if that was closed meanwhile */
  async open(row, stepping = false) {
    this.#row = row;
    const [{ row: report, result }] = await this.#store.entries([row]);
    if (this.#row !== row || !report || (stepping && !$('entry').open)) return;
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
    if (next) this.open(next, true);
  }
}

/** @param {import('./store.js').Row} report @param {import('./store.js').Result} [result] */
function* parts(report, result) {
  const error = report.error ?? result?.error;
  if (error) yield section('Not done', 'wide', el('p', { class: 'text' }, error.message), el('p', {}, el('code', { class: 'soft' }, error.code)));
  const guard = result?.guard;
  const flags = guard?.flags ?? [];
  const contradicting = flags.filter(({ findings }) => findings).map(({ findings: [start, end], severity }) => ({ start, end, severity }));
  const findings = el('p', { class: 'text', dir: 'auto' });
  const show = (places) => findings.replaceChildren(...marked(report.findings ?? '', places));
  show(contradicting);
  if (report.findings) yield section('Findings', '', findings);
  if (result && !error) {
    const said = el('p', { class: 'text said', dir: 'auto' }, ...spoken(result, flags, (support) => show(support ?? contradicting)));
    yield section('Impression', '', said);
  }
  if (guard) {
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
 * An impression's lines, each a button that shows which findings support it, for as long as it has pointer or focus.
 * @param {import('./store.js').Result} result
 * @param {object[]} flags
 * @param {(support: { start: number, end: number }[] | null) => void} show
 */
function* spoken({ impression, guard }, flags, show) {
  let at = 0;
  const within = (start, end) => flags.filter((flag) => flag.start >= start && flag.end <= end && flag.end > flag.start);
  for (const { start, end, support } of guard?.lines ?? []) {
    yield impression.slice(at, start);
    const places = within(start, end).map((flag) => ({ ...flag, start: flag.start - start, end: flag.end - start }));
    const line = el('button', { type: 'button', class: 'spoken', title: support.length ? 'What supports this' : 'Nothing in the findings supports this' }, ...marked(impression.slice(start, end), places));
    line.onpointerenter = line.onfocus = () => show(support.map(([start, end]) => ({ start, end })));
    line.onpointerleave = line.onblur = () => show(null);
    yield line;
    at = end;
  }
  yield impression.slice(at) || (at === 0 ? 'Nothing was written.' : '');
}

/**
 * A text in pieces, some of them marked. Where places overlap the first counts; one without a severity is support.
 * @param {string} text
 * @param {{ start: number, end: number, severity?: string }[]} places in UTF-16 code units
 */
export function marked(text, places) {
  const parts = [];
  let at = 0;
  for (const { start, end, severity } of places.toSorted((a, b) => a.start - b.start)) {
    if (start < at || end > text.length || end <= start) continue;
    const mark = el('mark', severity ? { 'data-severity': severity } : { class: 'support' }, text.slice(start, end));
    parts.push(text.slice(at, start), mark);
    at = end;
  }
  return [...parts, text.slice(at)];
}
