import { change, settled } from '../app/database.js';

/**
 * The studies of this browser, in IndexedDB: their files, each reader's answers, and what is still being written.
 *
 * @typedef {{ marks: (number | null)[][], preferred: number | null, seconds: number }} Answer
 * @typedef {{ key: string, study: string, title: string, reader: string, count: number, at: number,
 *             answers: Answer[], ended: boolean, changed: number }} Sitting a reader's way through a study
 * @typedef {{ title: string, seed: number, systems: { name: string, adapter: 'own' | 'none' | { config: Blob, weights: Blob } }[],
 *             reports: { id: string, findings: string, reference: string | null }[],
 *             outputs: Record<string, (string | null)[]> }} Draft `outputs`: by system, then report; null: could not be asked
 */
const NAME = 'radllama-study';
const VERSION = 1;

/** @param {string} study the hash @param {string} reader */
export const keyOf = (study, reader) => `${study} ${reader}`;

export class Store {
  #db;

  /** @returns {Promise<Store>} */
  static async open() {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('files', { keyPath: 'study' });
      request.result.createObjectStore('sittings', { keyPath: 'key' });
      request.result.createObjectStore('draft');
    };
    const store = new Store();
    store.#db = await settled(request);
    return store;
  }

  /** All sittings, the latest first. @returns {Promise<Sitting[]>} */
  async sittings() {
    const all = await settled(this.#db.transaction('sittings').objectStore('sittings').getAll());
    return all.sort((a, b) => b.changed - a.changed);
  }

  /** @param {string} key @returns {Promise<Sitting | undefined>} */
  sitting(key) {
    return settled(this.#db.transaction('sittings').objectStore('sittings').get(key));
  }

  /** A study's file. @param {string} study @returns {Promise<{ study: string, name: string, bytes: Uint8Array }>} */
  file(study) {
    return settled(this.#db.transaction('files').objectStore('files').get(study));
  }

  /** @param {{ study: string, name: string, bytes: Uint8Array }} file */
  putFile(file) {
    return this.#change(['files'], (files) => files.put(file));
  }

  /** @param {Sitting} sitting */
  putSitting(sitting) {
    return this.#change(['sittings'], (sittings) => sittings.put({ ...sitting, changed: Date.now() }));
  }

  /** Deletes a sitting, and the study's file with the last one of it. @param {Sitting} sitting */
  async deleteSitting({ key, study }) {
    const others = (await this.sittings()).filter((other) => other.study === study && other.key !== key);
    await this.#change(['sittings', 'files'], (sittings, files) => {
      sittings.delete(key);
      if (others.length === 0) files.delete(study);
    });
  }

  /** @returns {Promise<Draft | undefined>} */
  draft() {
    return settled(this.#db.transaction('draft').objectStore('draft').get('draft'));
  }

  /** @param {Draft | null} draft nothing: delete it */
  putDraft(draft) {
    return this.#change(['draft'], (drafts) => (draft ? drafts.put(draft, 'draft') : drafts.delete('draft')));
  }

  #change(names, work) {
    return change(this.#db, names, work);
  }
}
