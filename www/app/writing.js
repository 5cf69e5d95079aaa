import { $, el } from './dom.js';
import { formatRate } from './format.js';
import { linesOf, rowsOf } from './text.js';
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

  /** @param {() => void} onChange after every change of what is shown */
  constructor(onChange) {
    this.onChange = onChange;
    this.fields = [
      { key: 'impression', field: $('edit'), list: $('lines') },
      { key: 'recommendation', field: $('edit-recommendation'), list: $('recommendation-lines') },
    ];
    for (const { key, field, list } of this.fields) {
      field.addEventListener('input', () => {
        this.versions.edit({ [key]: field.value });
        this.unsaved = true;
        fillList(list, field.value.split('\n'));
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
  }

  /** The text so far. At most one change a frame; in a hidden tab, where frames stand still, four a second. @param {string} text */
  grow(text) {
    this.#next = text;
    if (this.#frame || this.#timer) return;
    const draw = () => {
      this.#frame = this.#timer = 0;
      if (this.#next !== null) this.#draw(this.#next);
    };
    if (document.hidden) this.#timer = setTimeout(draw, 250);
    else this.#frame = requestAnimationFrame(draw);
  }

  #draw(text) {
    const { impression, recommendation } = linesOf(text);
    fillList($('lines'), impression, recommendation.length === 0);
    fillList($('recommendation-lines'), recommendation, true);
    $('recommendation-box').hidden = recommendation.length === 0;
    const scroll = $('impression-scroll');
    if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120) scroll.scrollTop = scroll.scrollHeight;
  }

  /** The end of a text. Without one, what stood there before comes back. @param {import('../index.d.ts').ImpressionResult | null} result @param {string} instruction */
  end(result, instruction) {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
    this.#next = null;
    $('output').ariaBusy = 'false';
    $('output').classList.remove('draft');
    if (result && result.text.trim() !== '') {
      const { impression, recommendation } = linesOf(result.text);
      const model = { impression: impression.join('\n'), recommendation: recommendation.join('\n') };
      this.versions.add({ model, instruction, stop: result.stop, result });
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
    if (item.textContent !== line) item.textContent = line;
    item.className = writes && at === lines.length - 1 ? 'writing' : '';
  }
}
