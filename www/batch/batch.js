import { DONE, FAILED, FLAGS, UNREADABLE, WAITING } from './store.js';

/** Rows whose time counts for what is left. */
const RECENT = 20;
/** Errors of one row, which stop nothing. All others are the device's or the model's. */
const OF_THE_ROW = new Set(['empty_findings', 'bad_text', 'prompt_too_long', 'beams_too_long', 'not_finite']);

/**
 * A batch at work: which row is next, what came of it, how long the rest takes. It knows no element of the page and
 * holds no row's text but that of the one at hand.
 *
 * Events: `change` whenever a row or the state changed.
 */
export class Batch extends EventTarget {
  /** @type {'idle' | 'running' | 'pausing'} */
  state = 'idle';
  /** @type {{ code: string, message: string } | null} what ended the last run, if not its end or a pause */
  error = null;
  /** Of each row, from 1. */
  states = new Uint8Array(1);
  flags = new Uint8Array(1);
  counts = { waiting: 0, done: 0, failed: 0, unreadable: 0, hard: 0, soft: 0 };
  /** The row that is being written. */
  current = 0;
  /** Sums of ROUGE-1, -2, -L over the scored rows. */
  rouge = { sum: [0, 0, 0], rows: 0 };

  #store;
  #job;
  #score;
  #times = [];
  #control = null;

  /**
   * @param {import('./store.js').Store} store
   * @param {object} job as it is stored
   * @param {(reference: string, impression: string) => Promise<number[]>} score
   */
  constructor(store, job, score) {
    super();
    this.#store = store;
    this.#job = job;
    this.#score = score;
  }

  get job() {
    return this.#job;
  }

  get total() {
    return this.#job.total;
  }

  /** Rows without a result that could have one. */
  get left() {
    return this.counts.waiting;
  }

  /** Reads what is stored of the batch. */
  async restore() {
    this.states = new Uint8Array(this.total + 1);
    this.flags = new Uint8Array(this.total + 1);
    this.rouge = { sum: [0, 0, 0], rows: 0 };
    for await (const marks of this.#store.marks()) {
      for (const { row, state, flag, rouge } of marks) {
        this.states[row] = state;
        this.flags[row] = flag;
        if (rouge) this.#addRouge(rouge);
      }
    }
    this.#count();
  }

  /** Numbers of the rows that a filter shows. @param {string} filter */
  matching(filter) {
    const test = {
      all: () => true,
      done: (row) => this.states[row] === DONE,
      waiting: (row) => this.states[row] === WAITING,
      errors: (row) => this.states[row] === FAILED || this.states[row] === UNREADABLE,
      hard: (row) => this.flags[row] === FLAGS.indexOf('hard'),
      soft: (row) => this.flags[row] === FLAGS.indexOf('soft'),
    }[filter];
    const found = [];
    for (let row = 1; row <= this.total; row++) if (test(row)) found.push(row);
    return found;
  }

  /** Seconds that the rest takes, as far as one can know. */
  get secondsLeft() {
    if (this.#times.length === 0) return NaN;
    return ((this.#times.reduce((sum, ms) => sum + ms, 0) / this.#times.length) * this.left) / 1000;
  }

  /** Works until all is done, a pause, or an error that is not a row's. @param {import('../index.d.ts').ImpressionEngine} engine */
  async run(engine) {
    if (this.state !== 'idle') return;
    this.#control = new AbortController();
    this.error = null;
    this.#times = [];
    this.#become('running');
    try {
      for (let row = 1; row <= this.total && this.state === 'running'; row++) {
        if (this.states[row] === WAITING) await this.#write(engine, row);
      }
    } catch (error) {
      if (error.code !== 'cancelled') this.error = { code: error.code ?? storageCode(error), message: error.message };
    } finally {
      this.current = 0;
      this.#control = null;
      this.#become('idle');
    }
  }

  /** Stops; the row at hand is done again later. */
  pause() {
    if (this.state !== 'running') return;
    this.#become('pausing');
    this.#control.abort();
  }

  /** Makes the rows wait again that could not be asked. */
  async retry() {
    const rows = [];
    for (let row = 1; row <= this.total; row++) if (this.states[row] === FAILED) rows.push(row);
    await this.#store.forgetResults(rows);
    for (const row of rows) this.#mark({ row, state: WAITING, flag: 0 });
    this.#changed();
  }

  async #write(engine, row) {
    this.current = row;
    this.#changed();
    const started = performance.now();
    const [{ row: report }] = await this.#store.entries([row]);
    const { findings, prior, comparison, reference } = report;
    let result;
    try {
      const { signal } = this.#control;
      const options = { ...this.#job.options, prior: prior ?? undefined, signal };
      const written = await engine.impression(findings, options).result;
      if (written.stop === 'cancelled') return;
      const { stop, tokens, timings } = written;
      const impression = written.text.trim();
      result = { row, impression, stop, tokens, timings };
      // Checked anew where the guard is to know of a comparison that the model did not read.
      const compared = !prior && comparison && engine.check;
      const guard = compared ? await engine.check(findings, impression, { prior: comparison }) : written.guard;
      if (guard) result.guard = guard;
      if (reference) result.rouge = await this.#score(reference, impression);
    } catch (error) {
      if (!OF_THE_ROW.has(error.code)) throw error;
      result = { row, error: { code: error.code, message: error.message } };
    }
    const flag = Math.max(0, ...(result.guard?.flags ?? []).map(({ severity }) => FLAGS.indexOf(severity)));
    const mark = { row, state: result.error ? FAILED : DONE, flag, ...(result.rouge && { rouge: result.rouge }) };
    await this.#store.setResult(result, mark);
    if (result.rouge) this.#addRouge(result.rouge);
    this.#times.push(performance.now() - started);
    if (this.#times.length > RECENT) this.#times.shift();
    this.#mark(mark);
  }

  #addRouge(scores) {
    scores.forEach((score, at) => (this.rouge.sum[at] += score));
    this.rouge.rows++;
  }

  #mark({ row, state, flag }) {
    this.#add(row, -1);
    this.states[row] = state;
    this.flags[row] = flag;
    this.#add(row, 1);
  }

  #count() {
    this.counts = { waiting: 0, done: 0, failed: 0, unreadable: 0, hard: 0, soft: 0 };
    for (let row = 1; row <= this.total; row++) this.#add(row, 1);
  }

  #add(row, by) {
    this.counts[['waiting', 'done', 'failed', 'unreadable'][this.states[row]]] += by;
    const flag = FLAGS[this.flags[row]];
    if (flag === 'hard' || flag === 'soft') this.counts[flag] += by;
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

/** @param {Error} error */
const storageCode = ({ name }) => (name === 'QuotaExceededError' ? 'storage_full' : 'internal');
