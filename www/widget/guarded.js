import { Properties, findingsChanged, render } from './properties.js';

/** How long after a key an edited text is read again. */
const PAUSE_MS = 250;

/** Methods for element.js: a text begins; a report on it is there; a text stands and is to be read. */
export const beginGuard = Symbol('beginGuard');
export const takeReport = Symbol('takeReport');
export const readAgain = Symbol('readAgain');

/**
 * What the guard says of the element's text: the last report, and the events `flag` and `acute`. Reports
 * come with what is written; when the text or its findings change they are read again by the engine that wrote.
 */
export class Guarded extends Properties {
  #report = null;
  /** Flags and acute findings that were told of in this text. */
  #told = new Set();
  /** What reads: see beginGuard. */
  #reader = null;
  /** What the text was last read against. */
  #against = '';
  #timer = 0;
  #turn = 0;
  #listening = null;

  connectedCallback() {
    const { signal } = (this.#listening = new AbortController());
    const heard = ({ target }) => this.htmlFor && target.id === this.htmlFor && this[findingsChanged]();
    this.getRootNode().addEventListener('input', heard, { signal });
  }

  disconnectedCallback() {
    this.#listening?.abort();
  }

  /** The findings or the prior report are others. What is being written is read when it ends. */
  [findingsChanged]() {
    if (!this.busy) this[readAgain](this.value);
    this[render]();
  }

  /** The guard's report on the text as it stands; `null` where it was not read. */
  get guard() {
    return this.#report;
  }
  get flags() {
    return this.#report?.flags ?? [];
  }

  /** @param {{ engine: object, read: string, findings: () => string }} [reader] what writes, the findings that it
   *   writes from, and those of now; nothing: there is no text, or none that is read */
  [beginGuard](reader = null) {
    clearTimeout(this.#timer);
    this.#turn++;
    this.#reader = reader;
    this.#report = null;
    this.#told.clear();
    this.#against = this.#sources(reader?.read);
  }

  #sources(findings = this.#reader?.findings()) {
    return JSON.stringify([findings, this.prior]);
  }

  /**
   * @param {import('../index.d.ts').GuardReport | null | undefined} report
   * @param {string} text that it is about
   * @param {boolean} [whole] whether the text is written to its end
   */
  [takeReport](report, text, whole = true) {
    if (!report) return;
    this.#report = report;
    for (const flag of report.flags) {
      const line = report.lines[flag.line]?.text ?? '';
      // Its words rather than its place: that changes while a beam search makes up its mind.
      this.#tell('flag', `${flag.kind} ${flag.message} ${text.slice(flag.start, flag.end)}`, { flag, line });
    }
    if (!whole) return;
    for (const finding of report.acute) if (finding.certain) this.#tell('acute', finding.concept, { finding });
    if (this.#against !== this.#sources()) this[readAgain](text); // they changed meanwhile
  }

  /** A text stands in the field; it is read in a moment, where there is an engine. */
  [readAgain](text) {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    const reader = this.#reader;
    if (!reader?.engine.check) return;
    this.#timer = setTimeout(async () => {
      const findings = reader.findings();
      this.#against = this.#sources(findings);
      const checks = text.trim() !== '' && findings.trim() !== '';
      const report = checks ? await reader.engine.check(findings, text, { prior: this.prior }).catch(() => null) : null;
      if (turn !== this.#turn) return;
      this.#report = null;
      this[takeReport](report, text);
      this[render]();
    }, PAUSE_MS);
  }

  #tell(type, key, detail) {
    if (this.#told.has(`${type} ${key}`)) return;
    this.#told.add(`${type} ${key}`);
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
