/**
 * @typedef {{ impression: string, recommendation: string }} Fields lines joined by line feeds
 * @typedef {{ concept: string, label: string, who: string, when: string, how: string, note: string }} Told
 *   who was told of an acute finding; `when` as a field of local time has it, `how` with `note`, words of one's own
 * @typedef {{ model: Fields, now: Fields, edited: Fields | null, instruction: string, findings: string,
 *             stop: string, result: object | null, told: Told | null, dismissed: string }} Version
 *   `model`: what the model wrote; `now`: as it stands; `edited`: an edit that was taken back; `dismissed`: the
 *   acute findings for which the question whether they were communicated was put away
 */

const same = (a, b) => a.impression === b.impression && a.recommendation === b.recommendation;

/** The versions of an impression. None is ever overwritten: writing again adds one. Knows no page. */
export class Versions {
  /** @type {Version[]} */
  all = [];
  index = -1;

  /** @returns {Version | null} the one that is shown */
  get current() {
    return this.all[this.index] ?? null;
  }

  /**
   * What was told of an acute finding holds for another version of the same findings too.
   * @param {Pick<Version, 'model' | 'instruction' | 'findings' | 'stop' | 'result'>} version
   */
  add(version) {
    const { told = null, dismissed = '' } = this.current?.findings === version.findings ? this.current : {};
    this.all.push({ ...version, now: { ...version.model }, edited: null, told: told && { ...told }, dismissed });
    this.index = this.all.length - 1;
  }

  /** Older (−1) or newer (+1). @param {number} by @returns {boolean} whether there is one */
  step(by) {
    if (!this.all[this.index + by]) return false;
    this.index += by;
    return true;
  }

  /** @param {Partial<Fields>} fields */
  edit(fields) {
    if (this.current) Object.assign(this.current.now, fields);
  }

  /** Whether the shown one differs from what the model wrote. */
  get isEdited() {
    return this.current !== null && !same(this.current.now, this.current.model);
  }

  /** The model's text, or, where that already stands there, the edit that it took the place of. */
  restore() {
    const { current } = this;
    if (!current) return;
    if (this.isEdited) {
      current.edited = { ...current.now };
      current.now = { ...current.model };
    } else if (current.edited) {
      current.now = { ...current.edited };
      current.edited = null;
    }
  }
}
