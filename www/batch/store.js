import { change, settled } from '../app/database.js';

/**
 * The one batch of this browser, in IndexedDB: what it is, its rows, and what was written for them. A row's result
 * and its mark are stored in one transaction under the row's number: it is there once and whole, or not at all.
 */
const NAME = 'radllama-batch';
const VERSION = 1;

/**
 * @typedef {{ row: number, line: number, id: string | null, findings?: string, prior?: string, comparison?: string,
 *             reference?: string, error?: { code: string, message: string } }} Row
 * @typedef {{ row: number, impression?: string, stop?: string, tokens?: object, timings?: object, guard?: object,
 *             rouge?: number[], error?: { code: string, message: string } }} Result
 * @typedef {{ row: number, state: number, flag: number }} Mark what the table's filters need of a row
 */

/** A row's state. */
export const WAITING = 0;
export const DONE = 1;
/** It could not be asked. */
export const FAILED = 2;
/** It could not be read. */
export const UNREADABLE = 3;

/** The heaviest flag of an impression. */
export const FLAGS = ['', 'advisory', 'soft', 'hard'];

export class Store {
  #db;

  /** @returns {Promise<Store>} */
  static async open() {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('job');
      for (const name of ['rows', 'results', 'marks']) request.result.createObjectStore(name, { keyPath: 'row' });
    };
    const store = new Store();
    store.#db = await settled(request);
    return store;
  }

  /** The batch that is stored, if one is. */
  job() {
    return settled(this.#db.transaction('job').objectStore('job').get('job'));
  }

  /** @param {object} job */
  setJob(job) {
    return this.#change(['job'], (jobs) => jobs.put(job, 'job'));
  }

  /** Stores rows that were read; those that cannot be used are marked. @param {Row[]} rows */
  addRows(rows) {
    return this.#change(['rows', 'marks'], (stored, marks) => {
      for (const row of rows) {
        stored.put(row);
        marks.put({ row: row.row, state: row.error ? UNREADABLE : WAITING, flag: 0 });
      }
    });
  }

  /** Stores what came of a row. It is on the disk when this resolves. @param {Result} result @param {Mark} mark */
  setResult(result, mark) {
    return this.#change(['results', 'marks'], (results, marks) => {
      results.put(result);
      marks.put(mark);
    });
  }

  /** Takes what came of rows back, so that they are done again. @param {number[]} rows */
  forgetResults(rows) {
    return this.#change(['results', 'marks'], (results, marks) => {
      for (const row of rows) {
        results.delete(row);
        marks.put({ row, state: WAITING, flag: 0 });
      }
    });
  }

  /** All marks in order, a thousand at a time. @returns {AsyncGenerator<Mark[]>} */
  async *marks() {
    for (let from = 1; ; from += 1000) {
      const range = IDBKeyRange.bound(from, from + 999);
      const marks = await settled(this.#db.transaction('marks').objectStore('marks').getAll(range));
      if (marks.length === 0) return;
      yield marks;
    }
  }

  /** Rows with what came of them. @param {number[]} numbers @returns {Promise<{ row: Row, result?: Result }[]>} */
  async entries(numbers) {
    const transaction = this.#db.transaction(['rows', 'results']);
    const [rows, results] = ['rows', 'results'].map((name) => transaction.objectStore(name));
    return Promise.all(
      numbers.map(async (number) => {
        const [row, result] = await Promise.all([settled(rows.get(number)), settled(results.get(number))]);
        return { row, result };
      }),
    );
  }

  /** Deletes the batch and all its rows. */
  clear() {
    return this.#change(['job', 'rows', 'results', 'marks'], (...stores) => {
      for (const store of stores) store.clear();
    });
  }

  #change(names, work) {
    return change(this.#db, names, work);
  }
}
