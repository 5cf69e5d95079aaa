/**
 * A reader's way through a study: answers, where the reader is, what is missing. It knows no element of the page,
 * and no system's name.
 *
 * @typedef {import('./store.js').Answer} Answer
 * @typedef {{ study: string, title: string, reader: string, systems: number,
 *             criteria: { name: string, title: string, question: string }[],
 *             screens: { id: string, findings: string, shown: string[] }[] }} Begun what the worker tells of a study
 */
import { keyOf } from './store.js';

export class Sitting {
  /** The cell that a digit rates: `{ place, criterion }`. */
  cell = { place: 0, criterion: 0 };
  #since = null;

  /** @param {Begun} begun @param {import('./store.js').Sitting} [kept] */
  constructor(begun, kept) {
    this.begun = begun;
    this.answers = begun.screens.map((_, at) => kept?.answers[at] ?? this.#empty());
    this.at = Math.min(kept?.at ?? 0, begun.screens.length - 1);
    this.ended = kept?.ended ?? false;
    this.toFirstMissing();
  }

  get count() {
    return this.begun.screens.length;
  }

  get screen() {
    return this.begun.screens[this.at];
  }

  /** @returns {Answer} */
  get answer() {
    return this.answers[this.at];
  }

  get isLast() {
    return this.at === this.count - 1;
  }

  /** Reports that are answered in full. */
  get done() {
    return this.answers.filter((answer) => isWhole(answer)).length;
  }

  /** What the store keeps. @returns {import('./store.js').Sitting} */
  get kept() {
    const { study, title, reader } = this.begun;
    const { count, at, answers, ended } = this;
    return { key: keyOf(study, reader), study, title, reader, count, at, answers, ended, changed: 0 };
  }

  /** Rates the cell and goes to the next. @param {number} mark */
  rate(mark) {
    this.set(this.cell, mark);
    const { place, criterion } = this.cell;
    const criteria = this.begun.criteria.length;
    if (criterion + 1 < criteria) this.cell = { place, criterion: criterion + 1 };
    else if (place + 1 < this.begun.systems) this.cell = { place: place + 1, criterion: 0 };
  }

  /** @param {{ place: number, criterion: number }} cell @param {number} mark */
  set({ place, criterion }, mark) {
    this.answer.marks[place][criterion] = mark;
  }

  /** @param {number} place */
  prefer(place) {
    this.answer.preferred = place;
  }

  /** Goes up or down a column. @param {number} step */
  move(step) {
    const criteria = this.begun.criteria.length;
    const at = this.cell.place * criteria + this.cell.criterion + step;
    if (at < 0 || at >= criteria * this.begun.systems) return;
    this.cell = { place: Math.floor(at / criteria), criterion: at % criteria };
  }

  /** What of this report is missing: a cell, `'preference'`, or nothing. */
  missing(answer = this.answer) {
    for (const [place, marks] of answer.marks.entries()) {
      const criterion = marks.indexOf(null);
      if (criterion >= 0) return { place, criterion };
    }
    return answer.preferred === null ? 'preference' : null;
  }

  toFirstMissing() {
    const missing = this.missing();
    if (missing && missing !== 'preference') this.cell = missing;
    else if (!missing) this.cell = { place: 0, criterion: 0 };
  }

  /** @param {number} at */
  go(at) {
    this.pause();
    this.at = Math.max(0, Math.min(at, this.count - 1));
    this.cell = { place: 0, criterion: 0 };
    this.toFirstMissing();
  }

  /** The first report that is not answered in full, if there is one. */
  firstOpen() {
    return this.answers.findIndex((answer) => !isWhole(answer));
  }

  /** Time runs while the report is on the screen. */
  resume() {
    this.#since ??= performance.now();
  }

  pause() {
    if (this.#since === null) return;
    this.answer.seconds += (performance.now() - this.#since) / 1000;
    this.#since = null;
  }

  #empty() {
    const { systems, criteria } = this.begun;
    return { marks: Array.from({ length: systems }, () => criteria.map(() => null)), preferred: null, seconds: 0 };
  }
}

/** @param {Answer} answer */
const isWhole = ({ marks, preferred }) => preferred !== null && marks.every((of) => of.every((mark) => mark !== null));

/** The letter of a place. @param {number} place */
export const letter = (place) => String.fromCharCode(65 + place);
