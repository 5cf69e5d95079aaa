import { $, el, say } from './dom.js';
import { ICON, KIND, SEVERITY, byRows, countBySeverity, messageText, pieces } from './flags.js';
import { count } from './format.js';
import { icon } from './icons.js';
import { Mirror } from './mirror.js';
import { Notes } from './notes.js';
import { aboveImpression, joined } from './text.js';

/** How long after a key an edited text is read again. */
const PAUSE_MS = 200;
const FIELDS = [{ key: 'impression', field: 'edit' }, { key: 'recommendation', field: 'edit-recommendation' }];
const EMPTY = { lines: [], flags: [], acute: [] };
const within = ({ top, bottom }, y) => top <= y && y < bottom;
const nameOf = ({ key, index }) => (key === 'impression' ? `Line ${index + 1}` : `Recommendation ${index + 1}`);

/**
 * The guard on the page: lines linked to the findings that support them, flags beside them, both kept up to
 * date with what is written here and in the findings. Nothing of it blocks anything.
 *
 * @typedef {import('./text.js').Row & { item: HTMLElement, index: number }} ShownRow
 * @typedef {{ row: ShownRow, flag?: import('./flags.js').GuardFlag } | { at: number }} Point
 *   what is pointed at: a line, a flag in or behind it, or a place in the findings
 */
export class Review {
  /** The last report, of the text that is shown. @type {import('./flags.js').GuardReport} */
  report = EMPTY;
  /** Called with each report. @type {(report: import('./flags.js').GuardReport) => void} */
  onReport = () => {};
  /** The check that was asked for last, once it is done. @type {Promise<void>} */
  settled = Promise.resolve();
  /** @type {ShownRow[]} */
  #rows = [];
  #readings = [];
  #notes = [];
  #live = false;
  #timer = 0;
  #turn = 0;
  /** Hard flags that were told of. */
  #told = 0;
  /** Whether the text ended at its token limit. */
  #cut = false;
  /** Whether a flag is held back, as its words are just being typed. */
  #held = false;
  /** @type {Point | null} */
  #hover = null;
  /** @type {Point | null} */
  #caret = null;
  #mirror = new Mirror($('findings'));
  #view = new Notes({ go: (note) => this.#go(note), point: (note) => this.#point(note && this.#pointOf(note)) });

  /**
   * @param {(findings: string, impression: string, options: { prior?: string, cut?: boolean }) => Promise<import('./flags.js').GuardReport>} check
   */
  constructor(check) {
    this.check = check;
    $('findings').addEventListener('input', () => this.findingsChanged());
    $('prior').addEventListener('input', () => this.#soon());
    for (const list of document.querySelectorAll('.lines')) {
      list.addEventListener('pointermove', ({ clientY, target }) => {
        if (target.closest('.marker')) return;
        const row = this.#rows.find(({ item }) => list.contains(item) && within(item.getBoundingClientRect(), clientY));
        this.#point(row ? { row } : null);
      });
      list.addEventListener('pointerleave', () => this.#point(null));
      list.addEventListener('click', () => this.#reveal());
    }
    document.addEventListener('selectionchange', () => this.#followCaret());
    for (const field of [$('findings'), ...FIELDS.map(({ field }) => $(field))]) {
      for (const type of ['focus', 'blur', 'keyup', 'click']) field.addEventListener(type, () => this.#followCaret());
    }
    for (const { field } of FIELDS) $(field).addEventListener('blur', () => this.#held && this.#soon());
    $('findings').addEventListener('click', () => this.#linkedRows[0]?.item.scrollIntoView({ block: 'nearest', behavior: 'smooth' }));
    $('flag-count').onclick = () => this.step(1);
  }

  /** How many flags of each severity are shown. */
  get counts() {
    return countBySeverity(this.#notes.map(({ flag }) => flag));
  }

  /**
   * Lines that are being written. `report` is of this text or of its beginning.
   * @param {ShownRow[]} rows
   * @param {import('./flags.js').GuardReport | null} report
   */
  grow(rows, report) {
    this.#live = true;
    this.#turn++;
    clearTimeout(this.#timer);
    this.#rows = rows;
    this.#apply(report ?? this.report);
  }

  /** Nothing is shown yet of a text that begins. */
  begin() {
    this.#hover = this.#caret = null;
    this.#told = 0;
    this.grow([], EMPTY);
  }

  /**
   * Lines that stand; they are read again.
   * @param {ShownRow[]} rows
   * @param {{ now?: boolean, cut?: boolean }} [options] `now`: nobody is typing; `cut`: they ended at the token limit
   */
  stand(rows, { now = false, cut = false } = {}) {
    this.#live = false;
    this.#rows = rows;
    this.#cut = cut;
    if (now) this.settled = this.#now();
    else this.#soon();
  }

  /** The findings are others now. */
  findingsChanged() {
    this.#mirror.mark([]);
    this.#soon();
  }

  /** Tells how many flags there are to check, in words for a screen reader; it has been told then. */
  summary() {
    const { hard } = this.counts;
    this.#told = hard;
    return hard ? `, ${hard} to check` : '';
  }

  #soon() {
    if (this.#live) return;
    this.#turn++; // a report that is under way is of another text
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#now(true), PAUSE_MS);
  }

  async #now(tells = false) {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    const { findings } = aboveImpression($('findings').value);
    const text = joined(this.#rows);
    let report = null;
    if (text.trim() !== '' && findings.trim() !== '') {
      report = await this.check(findings, text, { prior: $('prior').value.trim() || undefined, cut: this.#cut }).catch(() => null);
    }
    if (turn !== this.#turn) return;
    const shown = report ? withoutTyping(report, this.#rows) : EMPTY;
    this.#held = report !== null && shown.flags.length < report.flags.length;
    this.#apply(shown);
    this.onReport(shown);
    const { hard } = this.counts;
    if (tells && hard !== this.#told) say(hard ? `${hard} to check` : 'Nothing to check');
    if (tells) this.#told = hard;
  }

  #apply(report) {
    this.report = report;
    const { readings, notes } = byRows(this.#rows, report);
    this.#readings = readings;
    this.#notes = notes;
    for (const [at, row] of this.#rows.entries()) {
      paint(row.item, row.text, readings[at].underlines);
      this.#showMarker(row, readings[at]);
    }
    this.#view.show(notes, (at) => ({ item: this.#rows[at]?.item ?? null, name: at < 0 ? '' : nameOf(this.#rows[at]) }));
    this.#showCount();
    if (this.#live) this.onReport(report);
    this.#caret &&= this.#renewed(this.#caret);
    this.#hover = null;
    this.#show();
  }

  #showCount() {
    const { hard, soft } = this.counts;
    const severity = hard ? 'hard' : 'soft';
    const button = $('flag-count');
    button.hidden = hard + soft === 0;
    button.className = `quiet chip flags ${severity}`;
    $('flag-icon').replaceChildren(icon(ICON[severity]));
    $('flag-text').textContent = hard ? `${hard} to check` : `${soft} to consider`;
    button.title = [hard && `${hard} to check`, soft && `${soft} to consider`].filter(Boolean).join(', ');
  }

  /** The button at a line's end: what supports it, or that nothing does. */
  #showMarker(row, { support, notes, stated }) {
    const worst = ['hard', 'soft', 'advisory'].find((severity) => notes.some(({ flag }) => flag.severity === severity));
    const kind = worst ?? (support.length ? 'supported' : stated ? 'unsupported' : '');
    const known = row.item.querySelector('.marker');
    if (kind === '') return known?.remove();
    const says = [
      nameOf(row),
      support.length ? `supported by ${count(support.length, 'sentence')} of the findings` : 'no sentence of the findings supports it',
      ...notes.map(({ flag }) => `${SEVERITY[flag.severity]}, ${KIND[flag.kind]}: ${flag.message}`),
    ].join('. ');
    const marker = known ?? row.item.appendChild(el('button', { type: 'button', class: 'marker' }));
    if (marker.title === says && marker.dataset.kind === kind) return;
    marker.dataset.kind = kind;
    marker.title = marker.ariaLabel = says;
    marker.replaceChildren(icon(worst ? ICON[worst] : support.length ? 'link' : 'ring'));
    const mine = () => this.#rows.find(({ item }) => item === row.item);
    marker.onclick = () => this.#toFindings(mine());
    marker.onpointerenter = () => this.#point(mine() ? { row: mine() } : null);
    marker.onpointerleave = () => this.#point(null);
    marker.onfocus = () => this.#pin(mine() ? { row: mine() } : null);
    marker.onblur = () => this.#pin(null);
  }

  /** The next flag or the one before, with its words selected. @param {1 | -1} by */
  step(by) {
    const notes = this.#notes;
    if (notes.length === 0) return say('No flags');
    const current = this.#caret?.flag ? notes.findIndex(({ flag }) => flag === this.#caret.flag) : by > 0 ? -1 : 0;
    const at = (current + by + notes.length) % notes.length;
    const { flag, row } = notes[at];
    this.#go(notes[at]);
    const where = row < 0 ? '' : `, ${nameOf(this.#rows[row])}`;
    say(`Flag ${at + 1} of ${notes.length}${where}. ${SEVERITY[flag.severity]}, ${KIND[flag.kind]}: ${flag.message}`);
  }

  /** From a line to the findings that support it, and back. */
  cross() {
    if (document.activeElement === $('findings')) {
      const [row] = this.#linkedRows;
      if (row) this.#select(row, 0, 0);
      return say(row ? nameOf(row) : 'No line rests on this sentence');
    }
    const row = this.#caret?.row ?? this.#rows[0];
    const [place] = row ? this.#readings[this.#rows.indexOf(row)]?.support ?? [] : [];
    if (!place) return say(row ? 'No sentence of the findings supports this line' : '');
    $('findings').focus();
    $('findings').setSelectionRange(...place);
    this.#mirror.reveal();
    say($('findings').value.slice(...place));
  }

  /** @param {import('./flags.js').Note} note */
  #go(note) {
    const row = this.#rows[note.row] ?? this.#rows.at(-1);
    if (!row) return;
    const length = row.text.length;
    if (!this.#live) this.#select(row, note.row < 0 ? length : note.start, note.row < 0 ? length : note.end);
    this.#pin({ row, flag: note.flag });
    this.#reveal();
    row.item.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  }

  /** Selects in the field of a line. */
  #select(row, start, end) {
    const field = $(FIELDS.find(({ key }) => key === row.key).field);
    const before = this.#rows.filter((other) => other.key === row.key && other.index < row.index);
    const from = before.reduce((sum, { text }) => sum + text.length + 1, 0);
    if (!field.checkVisibility()) return;
    field.focus({ preventScroll: true });
    field.setSelectionRange(from + start, from + end);
  }

  #toFindings(row) {
    if (!row) return;
    this.#pin({ row });
    this.#reveal();
    const { support } = this.#readings[this.#rows.indexOf(row)];
    const texts = support.map((place) => $('findings').value.slice(...place));
    say(texts.length ? `Supported by: ${texts.join(' ')}` : 'No sentence of the findings supports this line');
  }

  #followCaret() {
    const { activeElement } = document;
    if (activeElement === $('findings')) return this.#pin({ at: activeElement.selectionStart });
    const field = FIELDS.find((one) => $(one.field) === activeElement);
    if (!field) return activeElement?.closest?.('.marker, .note') ? undefined : this.#pin(null);
    const before = activeElement.value.slice(0, activeElement.selectionStart);
    const index = before.split('\n').length - 1;
    const at = this.#rows.findIndex((row) => row.key === field.key && row.index === index);
    if (at < 0) return this.#pin(null);
    const column = before.length - (before.lastIndexOf('\n') + 1);
    const { flag } = this.#readings[at]?.notes.find(({ start, end }) => start <= column && column <= end) ?? {};
    // A flag of something left out, which stands nowhere, stays meant until the caret moves away.
    const row = this.#rows[at];
    const kept = this.#caret?.row === row && this.#notes.some((note) => note.row < 0 && note.flag === this.#caret.flag);
    this.#pin(kept && column === row.text.length ? this.#caret : { row, flag });
  }

  #point(point) {
    this.#hover = point;
    this.#show();
  }

  #pin(point) {
    this.#caret = point;
    this.#show();
  }

  #reveal() {
    if (this.#hover || this.#caret) this.#mirror.reveal();
  }

  #pointOf({ row, flag }) {
    const shown = this.#rows[row] ?? this.#rows.at(-1);
    return shown ? { row: shown, flag } : null;
  }

  /** The same point after a new report. */
  #renewed(point) {
    if ('at' in point) return point;
    const row = this.#rows.find(({ key, index }) => key === point.row.key && index === point.row.index);
    const note = this.#notes.find(({ flag }) => flag.kind === point.flag?.kind && flag.message === point.flag.message);
    return row ? { row, flag: note?.flag } : null;
  }

  /** The lines that are meant: the one that is pointed at, or those that rest on a place of the findings. */
  get #linkedRows() {
    const point = this.#hover ?? this.#caret;
    if (!point) return [];
    if ('row' in point) return [point.row];
    return this.#rows.filter((_, at) => this.#readings[at]?.support.some(([start, end]) => start <= point.at && point.at < end));
  }

  #show() {
    const point = this.#hover ?? this.#caret;
    const linked = this.#linkedRows;
    for (const row of this.#rows) row.item.classList.toggle('linked', linked.includes(row));
    this.#view.mark(point?.flag ?? null);
    const marks = [];
    const mark = (kind) => ([start, end]) => marks.push({ start, end, kind });
    if (point && 'row' in point) {
      const { support = [], notes = [] } = this.#readings[this.#rows.indexOf(point.row)] ?? {};
      const flags = point.flag ? [point.flag] : notes.map(({ flag }) => flag);
      flags.map(({ findings }) => findings).filter(Boolean).forEach(mark('conflict'));
      support.forEach(mark('support'));
    } else if (point) {
      const places = this.#readings.flatMap(({ support }) => support);
      places.filter(([start, end]) => start <= point.at && point.at < end).forEach(mark('support'));
    }
    this.#mirror.mark(marks);
  }
}

/** A report without what is said of the words that are just being typed: that they are unfinished. */
function withoutTyping(report, rows) {
  const field = FIELDS.find((one) => $(one.field) === document.activeElement);
  if (!field) return report;
  const { value, selectionStart, selectionEnd } = document.activeElement;
  const before = value.slice(0, selectionStart);
  const row = rows.find(({ key, index }) => key === field.key && index === before.split('\n').length - 1);
  if (!row || selectionStart !== selectionEnd) return report;
  const at = row.start + before.length - (before.lastIndexOf('\n') + 1);
  return { ...report, flags: report.flags.filter(({ kind, end }) => kind !== 'degenerate' || Math.abs(end - at) > 1) };
}

/** Puts a text in a line, with what is underlined. @param {HTMLElement} item @param {string} text @param {import('./flags.js').Underline[]} [underlines] */
export function paint(item, text, underlines = []) {
  const cut = text === '' ? [] : pieces(text, underlines);
  const looks = JSON.stringify(cut);
  if (painted.get(item) === looks) return;
  painted.set(item, looks);
  const words = item.querySelector('.words') ?? item.insertBefore(el('span', { class: 'words' }), item.firstChild);
  words.replaceChildren(...cut.map((piece) => (piece.kind ? el('mark', { class: piece.kind }, piece.text) : piece.text)));
}
/** Line → how it was painted. @type {WeakMap<Element, string>} */
const painted = new WeakMap();
