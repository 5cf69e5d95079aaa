import { el } from './dom.js';
import { pieces } from './flags.js';

/** @typedef {{ start: number, end: number, kind: 'support' | 'conflict' }} Mark */

/**
 * Marks in a text field: a layer under it with the same text in the same metric, of which only the marks
 * are seen. It is filled while there is something to mark, and follows the field's size and scrolling.
 */
export class Mirror {
  #field;
  #layer;
  #text;
  #marks = [];

  /** @param {HTMLTextAreaElement} field its style is to set the layer's font and padding too (`.mirror-text`) */
  constructor(field) {
    this.#field = field;
    this.#text = el('div', { class: 'mirror-text', dir: 'auto' });
    this.#layer = el('div', { class: 'mirror', 'aria-hidden': 'true' }, this.#text);
    field.before(this.#layer);
    field.addEventListener('scroll', () => this.#follow(), { passive: true });
    new ResizeObserver(() => this.#follow()).observe(field);
  }

  /** @param {Mark[]} marks where they overlap, the conflict is seen */
  mark(marks) {
    const now = marks.filter(({ start, end }) => end > start && end <= this.#field.value.length);
    if (JSON.stringify(now) === JSON.stringify(this.#marks)) return;
    this.#marks = now;
    this.#text.replaceChildren();
    if (now.length === 0) return;
    const cut = pieces(this.#field.value, now, ['conflict', 'support']);
    this.#text.append(...cut.map(({ text, kind }) => (kind ? el('mark', { class: kind }, text) : text)));
    this.#text.append('\u200b'); // a line feed at the end has a line behind it
    this.#follow();
  }

  /** Brings the first mark into view, if it is not. */
  reveal() {
    const first = this.#text.querySelector('mark');
    if (!first) return;
    const field = this.#field;
    const top = first.getBoundingClientRect().top - this.#text.getBoundingClientRect().top;
    const bottom = top + first.getBoundingClientRect().height;
    const margin = 24;
    if (top < field.scrollTop + margin || bottom > field.scrollTop + field.clientHeight - margin) {
      field.scrollTo({ top: Math.max(0, top - field.clientHeight / 3), behavior: 'smooth' });
    }
    // On a phone the page scrolls, not the field.
    const place = first.getBoundingClientRect();
    if (place.top < 0 || place.bottom > innerHeight) field.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  }

  #follow() {
    if (this.#marks.length === 0) return;
    const { style } = this.#text;
    // A scrollbar takes its width from the text, on the left where the text runs from the right.
    style.width = `${this.#field.clientWidth}px`;
    style.marginLeft = `${this.#field.clientLeft}px`;
    style.direction = getComputedStyle(this.#field).direction;
    style.translate = `0 ${-this.#field.scrollTop}px`;
  }
}
