import { communication } from './acute.js';
import { $, el } from './dom.js';
import { formatRate } from './format.js';
import { paint } from './review.js';
import { linesFor, rowsIn, rowsOf, rowsOfFields } from './text.js';
import { Versions } from './versions.js';

/**
 * The impression's pane: lines that stream in, fields in which they are edited, and their versions.
 * While it streams, a list grows; then a field lies over the same list, which goes on carrying the
 * numbers and the height.
 */
export class Writing {
  versions = new Versions();
  /** Text that was neither copied, inserted nor saved since it last changed. */
  unsaved = false;
  #frame = 0;
  #timer = 0;
  #next = null;
  /** The last report on the text that is being written. */
  #report = null;

  /**
   * @param {() => void} onChange after every change of what is shown
   * @param {import('./review.js').Review} review
   */
  constructor(onChange, review) {
    this.onChange = onChange;
    this.review = review;
    this.fields = [
      { key: 'impression', field: $('edit'), list: $('lines') },
      { key: 'recommendation', field: $('edit-recommendation'), list: $('recommendation-lines') },
    ];
    for (const { key, field, list } of this.fields) {
      field.addEventListener('input', () => {
        this.versions.edit({ [key]: field.value });
        this.unsaved = true;
        fillList(list, field.value.split('\n'));
        this.review.stand(this.#shown(rowsOfFields(this.text)));
        this.#showEdited();
        this.onChange();
      });
    }
  }

  /** Makes room for a text that begins. */
  begin() {
    for (const { field, list } of this.fields) {
      field.hidden = true;
      list.replaceChildren();
    }
    $('recommendation-box').hidden = true;
    $('edited').hidden = true;
    $('output').hidden = false;
    $('output').ariaBusy = 'true';
    $('output').classList.add('draft');
    this.#report = null;
    this.review.begin();
  }

  /**
   * The text so far. At most one change a frame; in a hidden tab, where frames stand still, four a second.
   * @param {string} text
   * @param {import('../index.d.ts').GuardReport | null} report on it, where it was checked
   */
  grow(text, report) {
    this.#next = text;
    this.#report = report ?? this.#report;
    if (this.#frame || this.#timer) return;
    const draw = () => {
      this.#frame = this.#timer = 0;
      if (this.#next !== null) this.#draw(this.#next);
    };
    if (document.hidden) this.#timer = setTimeout(draw, 250);
    else this.#frame = requestAnimationFrame(draw);
  }

  #draw(text) {
    const rows = rowsIn(text);
    const recommendation = linesFor(rows, 'recommendation');
    fillList($('lines'), linesFor(rows, 'impression'), recommendation.length === 0);
    fillList($('recommendation-lines'), recommendation, true);
    $('recommendation-box').hidden = recommendation.length === 0;
    this.review.grow(this.#shown(rows), this.#report);
    const scroll = $('impression-scroll');
    if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120) scroll.scrollTop = scroll.scrollHeight;
  }

  /** Rows with the elements that show them. @param {import('./text.js').Row[]} rows @returns {import('./review.js').ShownRow[]} */
  #shown(rows) {
    const next = { impression: 0, recommendation: 0 };
    return rows.map((row) => {
      const index = next[row.key]++;
      return { ...row, index, item: this.fields.find(({ key }) => key === row.key).list.children[index] };
    });
  }

  /**
   * The end of a text. Without one, what stood there before comes back.
   * @param {import('../index.d.ts').ImpressionResult | null} result
   * @param {{ instruction: string, findings: string }} asked
   */
  end(result, { instruction, findings }) {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
    this.#next = null;
    $('output').ariaBusy = 'false';
    $('output').classList.remove('draft');
    if (result && result.text.trim() !== '') {
      const rows = rowsIn(result.text);
      const model = { impression: linesFor(rows, 'impression').join('\n'), recommendation: linesFor(rows, 'recommendation').join('\n') };
      this.versions.add({ model, instruction, findings, stop: result.stop, result });
      this.unsaved = true;
    }
    this.show();
  }

  /** Shows the current version in its fields. */
  show() {
    const { current, all, index } = this.versions;
    $('output').hidden = !current;
    $('actions').hidden = !current;
    $('again').hidden = !current;
    $('versions').hidden = all.length < 2;
    $('version-text').textContent = `${index + 1} of ${all.length}`;
    $('older').disabled = index <= 0;
    $('newer').disabled = index >= all.length - 1;
    for (const { key, field, list } of this.fields) {
      const text = current?.now[key] ?? '';
      if (field.value !== text) field.value = text;
      fillList(list, text.split('\n'));
      field.hidden = !current;
    }
    $('recommendation-box').hidden = !current || (current.now.recommendation === '' && current.model.recommendation === '');
    this.review.stand(this.#shown(rowsOfFields(this.text)), { now: true, cut: current?.stop === 'length' && !this.versions.isEdited });
    this.#showEdited();
    this.#showStats();
    this.onChange();
  }

  /** @param {number} by */
  step(by) {
    if (this.versions.step(by)) this.show();
  }

  restore() {
    this.versions.restore();
    this.unsaved = true;
    this.show();
  }

  /** The shown text in its fields. */
  get text() {
    return this.versions.current?.now ?? { impression: '', recommendation: '' };
  }

  /** Who was told of an acute finding, as recorded with the shown version. @returns {import('./acute.js').Communication | null} */
  communication() {
    return communication(this.versions.current?.told ?? null);
  }

  /** How many lines are shown. */
  get lineCount() {
    return rowsOf(this.text.impression).length + rowsOf(this.text.recommendation).length;
  }

  #showEdited() {
    const { current, isEdited } = this.versions;
    $('edited').hidden = !current || (!isEdited && !current.edited);
    $('edited-text').textContent = isEdited ? 'Edited by you' : 'The model’s text';
    $('restore').textContent = isEdited ? 'Restore the model’s text' : 'Bring my edit back';
  }

  #showStats() {
    const { current } = this.versions;
    if (!current?.result) return;
    const { stop, tokens, timings } = current.result;
    const how = { cancelled: 'Stopped. ', length: 'Stopped at the length limit. ' }[stop] ?? '';
    const read = `${tokens.prompt - tokens.reused} tokens read at ${formatRate(timings.prefillTokensPerS)} (prefill)`;
    const wrote = `${tokens.generated} written at ${formatRate(timings.decodeTokensPerS)} (decode)`;
    const asked = current.instruction ? ` · “${current.instruction}”` : '';
    showStats(how + (tokens.generated > 0 ? `${read}, ${wrote}${asked}` : ''));
  }
}

/** @param {string} text */
export function showStats(text) {
  $('stats').hidden = text === '';
  $('stats').textContent = text;
}

/** Changes only the lines that changed. @param {Element} list @param {string[]} lines @param {boolean} [writes] whether its end is where the text grows */
function fillList(list, lines, writes = false) {
  while (list.children.length > lines.length) list.lastElementChild.remove();
  for (const [at, line] of lines.entries()) {
    const item = list.children[at] ?? list.appendChild(el('li'));
    if (item.textContent !== line) paint(item, line);
    item.classList.toggle('writing', writes && at === lines.length - 1);
  }
}
