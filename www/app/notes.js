import { $, el } from './dom.js';
import { ICON, KIND, SEVERITY, messageText } from './flags.js';
import { icon } from './icons.js';

/** @typedef {import('./flags.js').Note} Note */

const GAP = 8;

/**
 * The flags, each beside its line where the pane has room for a column, below the lines where not. Each is
 * a button that goes to its place.
 */
export class Notes {
  #list = $('notes');
  #shown = '';
  /** @type {{ note: Note, element: HTMLElement, item: HTMLElement | null }[]} */
  #notes = [];

  /** @param {{ go: (note: Note) => void, point: (note: Note | null) => void }} on `point`: the pointer or the focus is on it */
  constructor(on) {
    this.on = on;
    new ResizeObserver(() => this.place()).observe($('output'));
  }

  /**
   * @param {Note[]} notes
   * @param {(row: number) => { item: HTMLElement | null, name: string }} rowOf the line's element, and what it is called
   */
  show(notes, rowOf) {
    const shown = JSON.stringify(notes.map(({ flag: { kind, severity, message }, row }) => [kind, severity, message, row]));
    if (shown !== this.#shown) {
      this.#shown = shown;
      const focused = [...this.#list.children].findIndex((element) => element.contains(document.activeElement));
      this.#notes = notes.map((note) => ({ note, element: this.#element(note, rowOf(note.row).name), item: null }));
      this.#list.replaceChildren(...this.#notes.map(({ element }) => element));
      this.#list.hidden = notes.length === 0;
      $('output').classList.toggle('noted', notes.length > 0);
      if (focused >= 0) this.#list.children[Math.min(focused, notes.length - 1)]?.querySelector('button').focus();
    }
    for (const [at, shown] of this.#notes.entries()) Object.assign(shown, { note: notes[at], item: rowOf(notes[at].row).item });
    this.place();
  }

  /** Shows which one is meant. @param {import('./flags.js').GuardFlag | null} flag */
  mark(flag) {
    for (const { note, element } of this.#notes) element.classList.toggle('current', note.flag === flag);
  }

  /** Beside its line, or below the note before. */
  place() {
    const beside = getComputedStyle(this.#list).getPropertyValue('--beside').trim() === '1';
    let bottom = 0;
    const origin = this.#list.getBoundingClientRect().top;
    for (const { element, item } of this.#notes) {
      const top = item ? Math.max(bottom, item.getBoundingClientRect().top - origin) : bottom;
      element.style.top = beside ? `${top}px` : '';
      bottom = top + element.offsetHeight + GAP;
    }
    $('output').style.minHeight = beside && bottom > 0 ? `${bottom}px` : '';
  }

  #element(note, name) {
    const { kind, severity, message } = note.flag;
    const head = el('span', { class: 'note-head' }, icon(ICON[severity]), el('b', {}, SEVERITY[severity]), el('span', { class: 'soft' }, `${KIND[kind]}`));
    const where = el('span', { class: 'note-line soft' }, name);
    const button = el('button', { type: 'button', class: 'note' }, head, where, el('span', { class: 'note-text' }, messageText(message)));
    const current = () => this.#notes.find(({ element }) => element.contains(button))?.note ?? note;
    button.onclick = () => this.on.go(current());
    button.onpointerenter = button.onfocus = () => this.on.point(current());
    button.onpointerleave = button.onblur = () => this.on.point(null);
    return el('li', { 'data-severity': severity }, button);
  }
}
