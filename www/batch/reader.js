import { RadllamaClient } from '../engine/client.js';

/**
 * Files of findings, read by a sealed worker of their own, which has no model: it may connect to nothing.
 * @typedef {{ format?: string, delimiter?: string, columns?: Record<string, string> }} Options
 */
export class Reader {
  #client = new RadllamaClient();

  /** What a file begins with. @param {File} file @param {{ encoding?: string, options?: Options }} how */
  peek(file, { encoding, options }) {
    return this.#client.sealed('peekRows', { file, encoding, options });
  }

  /**
   * A file's rows, some at a time.
   * @param {File} file
   * @param {{ encoding?: string, options?: Options }} how
   * @returns {AsyncGenerator<{ rows: import('./store.js').Row[], bytes: number }>}
   */
  async *rows(file, { encoding, options }) {
    const reading = await this.#client.sealed('openRows', { file, encoding, options });
    let ended = false;
    try {
      while (!ended) {
        const next = await this.#client.sealed('nextRows', { reading });
        ended = next.ended;
        yield next;
      }
    } finally {
      if (!ended) await this.#client.sealed('closeRows', { reading }).catch(() => {});
    }
  }

  /** ROUGE-1, -2 and -L. @param {string} reference @param {string} impression @returns {Promise<number[]>} */
  score(reference, impression) {
    return this.#client.sealed('scoreRow', { reference, impression });
  }
}
