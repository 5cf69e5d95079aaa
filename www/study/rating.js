import { $, el, say } from '../app/dom.js';
import { letter } from './sitting.js';

/**
 * The screen on which a report is judged: findings, the impressions side by side, the criteria below each. Cells are
 * groups of radio buttons, so that all of it works with a mouse, with Tab and arrows, and with single keys.
 */
export class Rating {
  #sitting = null;
  #onChange;

  /** @param {(sitting: import('./sitting.js').Sitting) => void} onChange something was answered */
  constructor(onChange) {
    this.#onChange = onChange;
    $('columns').addEventListener('focusin', ({ target }) => {
      const cell = target.closest('[data-cell]');
      if (cell) this.#enter(cell);
    });
    $('columns').addEventListener('change', ({ target }) => {
      const [place, criterion] = numbers(target.closest('[data-cell]'));
      this.#sitting.set({ place, criterion }, Number(target.value));
      this.#changed();
    });
    // Up and down go to another criterion; left and right stay the radio buttons' own.
    $('columns').addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
      event.preventDefault();
      this.#sitting.move(event.key === 'ArrowUp' ? -1 : 1);
      this.#focusCell();
    });
    $('preference').addEventListener('change', ({ target }) => this.prefer(Number(target.value)));
  }

  /** Shows the report at which a sitting is. @param {import('./sitting.js').Sitting} sitting */
  show(sitting) {
    this.#sitting = sitting;
    const { begun, screen, at, count } = sitting;
    $('where').textContent = `Report ${at + 1} of ${count}`;
    $('findings').textContent = screen.findings;
    $('findings').scrollTop = 0;
    $('columns').dataset.systems = String(begun.systems);
    $('columns').replaceChildren(...screen.shown.map((text, place) => this.#column(text, place)));
    const choices = screen.shown.map((_, place) =>
      el('label', {}, el('input', { type: 'radio', name: 'preferred', value: String(place) }), el('span', {}, letter(place))));
    $('preference').replaceChildren($('preference').querySelector('legend'), ...choices);
    this.#update();
    this.#focusCell();
    say(`Report ${at + 1} of ${count}`);
  }

  /** @param {number} mark */
  rate(mark) {
    this.#sitting.rate(mark);
    this.#changed();
    this.#focusCell();
  }

  /** @param {number} place */
  prefer(place) {
    if (place >= this.#sitting.begun.systems) return;
    this.#sitting.prefer(place);
    this.#changed();
  }

  /** Says and shows what is missing; whether anything is. */
  showMissing() {
    const missing = this.#sitting.missing();
    if (!missing) return false;
    if (missing === 'preference') {
      say('Choose the impression that you would rather sign');
      $('preference').querySelector('input').focus();
      $('preference').dataset.wanted = '';
    } else {
      this.#sitting.cell = missing;
      this.#focusCell();
      say(`${letter(missing.place)}, ${this.#sitting.begun.criteria[missing.criterion].title} has no mark yet`);
    }
    return true;
  }

  #column(text, place) {
    const { criteria } = this.#sitting.begun;
    const name = letter(place);
    const body = text.trim() ? el('div', { class: 'text', dir: 'auto' }, text) : el('div', { class: 'text soft' }, 'It wrote nothing.');
    body.tabIndex = 0;
    body.setAttribute('role', 'group');
    body.setAttribute('aria-label', `Impression ${name}`);
    const cells = criteria.map(({ title }, criterion) => this.#cell(name, title, place, criterion));
    return el('article', { class: 'column', 'aria-label': `Impression ${name}` }, el('h2', { class: 'letter' }, name), body, el('div', { class: 'cells' }, ...cells));
  }

  #cell(name, title, place, criterion) {
    const group = `${place}-${criterion}`;
    const marks = [1, 2, 3, 4, 5].map((mark) =>
      el('label', {}, el('input', { type: 'radio', name: `mark-${group}`, value: String(mark), 'aria-label': String(mark) }), el('span', {}, String(mark))));
    const cell = el('div', { class: 'cell', 'data-cell': group, role: 'radiogroup', 'aria-label': `${name}, ${title}` },
      el('span', { class: 'criterion', 'aria-hidden': 'true' }, title), el('div', { class: 'scale' }, ...marks));
    return cell;
  }

  #changed() {
    this.#update();
    this.#onChange(this.#sitting);
  }

  /** Brings the answers onto the screen. */
  #update() {
    const sitting = this.#sitting;
    const { answer } = sitting;
    for (const cell of $('columns').querySelectorAll('[data-cell]')) {
      const [place, criterion] = numbers(cell);
      const mark = answer.marks[place][criterion];
      for (const input of cell.querySelectorAll('input')) input.checked = Number(input.value) === mark;
      cell.toggleAttribute('data-rated', mark !== null);
    }
    for (const input of $('preference').querySelectorAll('input')) input.checked = Number(input.value) === answer.preferred;
    for (const [place, column] of [...$('columns').children].entries()) column.toggleAttribute('data-preferred', place === answer.preferred);
    if (answer.preferred !== null) delete $('preference').dataset.wanted;
    const whole = sitting.missing() === null;
    $('next').toggleAttribute('data-ready', whole);
    $('next-text').textContent = sitting.isLast ? 'Finish' : 'Next report';
    $('back').disabled = sitting.at === 0;
    $('done').value = sitting.done / sitting.count;
    $('done-text').textContent = `${sitting.done} rated`;
    this.#mark();
  }

  #enter(cell) {
    const [place, criterion] = numbers(cell);
    this.#sitting.cell = { place, criterion };
    this.#mark();
  }

  /** Marks the cell that a digit rates, and says what is asked. */
  #mark() {
    const { place, criterion } = this.#sitting.cell;
    for (const cell of $('columns').querySelectorAll('[data-cell]')) cell.toggleAttribute('data-current', cell.dataset.cell === `${place}-${criterion}`);
    const { title, question } = this.#sitting.begun.criteria[criterion];
    $('question').replaceChildren(el('b', {}, `${letter(place)}, ${title}. `), question);
  }

  #focusCell() {
    const { place, criterion } = this.#sitting.cell;
    const cell = $('columns').querySelector(`[data-cell="${place}-${criterion}"]`);
    (cell.querySelector('input:checked') ?? cell.querySelector('input')).focus();
    cell.scrollIntoView({ block: 'nearest' });
    this.#mark();
  }
}

const numbers = (cell) => cell.dataset.cell.split('-').map(Number);
