import { $, say } from './dom.js';

/**
 * The question whether an acute finding was communicated, and the fields for whom, when and how. They are
 * kept with the version of the impression; the question can be put away and brought back.
 *
 * @typedef {{ concept: string, label: string, who: string, when: string, how: string }} Communication
 *   for the report and for exports: `when` in ISO 8601 with its offset from UTC, or ''; several findings that were
 *   told of together are joined by commas
 */

/** `by phone`, `in person`: how it is said in a sentence. */
const HOW = { phone: 'by phone', 'in person': 'in person', message: 'by message' };
const FIELDS = ['who', 'when', 'how', 'note'];

export class Acute {
  /** The acute findings of the text that is shown. */
  #concept = '';
  #label = '';
  #open = false;

  /** @param {import('./writing.js').Writing} writing */
  constructor(writing) {
    this.writing = writing;
    $('acute-record').onclick = () => this.#setOpen(!this.#open);
    $('acute-dismiss').onclick = () => this.#dismiss();
    $('acute-back').onclick = () => this.record();
    $('told-now').onclick = () => {
      $('told-when').value = localNow();
      this.#keep();
      say('Now');
    };
    for (const name of FIELDS) $(`told-${name}`).addEventListener('input', () => this.#keep());
    $('acute-fields').addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && event.target.matches('input')) this.#setOpen(false);
      else if (event.key === 'Escape') this.#setOpen(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** @param {readonly import('../index.d.ts').GuardAcute[]} acute */
  show(acute) {
    const certain = acute.filter(({ certain }) => certain);
    this.#concept = certain.map(({ concept }) => concept).join(', ');
    this.#label = certain.map(({ label }) => label.charAt(0).toLowerCase() + label.slice(1)).join(', ');
    this.#render();
  }

  /** Whether there is anything to record. */
  get asks() {
    return this.#label !== '' && this.writing.versions.current !== null;
  }

  /** Opens the fields, brought back if they were put away. */
  record() {
    const { current } = this.writing.versions;
    if (!current || !this.asks) return;
    current.dismissed = '';
    this.#setOpen(true);
  }

  #setOpen(open) {
    this.#open = open;
    this.#render();
    (open ? $('told-who') : $('acute-record')).focus();
  }

  #dismiss() {
    const { current } = this.writing.versions;
    if (!current) return;
    current.dismissed = this.#label;
    this.#open = false;
    this.#render();
    ($('acute-back').checkVisibility() ? $('acute-back') : $('edit')).focus();
  }

  #keep() {
    const { current } = this.writing.versions;
    if (!current) return;
    const fields = Object.fromEntries(FIELDS.map((name) => [name, $(`told-${name}`).value]));
    const any = FIELDS.some((name) => fields[name].trim() !== '');
    const { concept, label } = current.told ?? { concept: this.#concept, label: this.#label };
    current.told = any ? { concept, label, ...fields } : null;
    this.writing.unsaved = true;
    this.#render();
  }

  #render() {
    const { current } = this.writing.versions;
    const told = current?.told ?? null;
    const label = told?.label ?? this.#label;
    const away = current !== null && !told && current.dismissed === this.#label;
    const asked = label !== '' && (current !== null || !$('output').hidden);
    $('acute').hidden = !asked || away;
    $('acute-back').hidden = !asked || !away;
    $('acute-back').textContent = `Acute finding: ${label}. Record who was told`;
    $('acute-what').textContent = `Acute finding: ${label}.`;
    const said = toldText(communication(told));
    $('acute-state').textContent = said ? capital(said.slice(label.length + 2)) : 'Communicated?';
    $('acute').classList.toggle('told', Boolean(said));
    $('acute-record').textContent = this.#open ? 'Done' : said ? 'Change' : 'Record';
    $('acute-record').ariaExpanded = String(this.#open);
    $('acute-record').hidden = current === null; // it is still being written
    $('acute-dismiss').hidden = current === null || told !== null;
    $('acute-fields').hidden = !this.#open;
    for (const name of FIELDS) {
      const value = told?.[name] ?? '';
      if ($(`told-${name}`).value !== value) $(`told-${name}`).value = value;
    }
  }
}

/** What was recorded, for the report and for exports. @param {import('./versions.js').Told | null} told @returns {Communication | null} */
export function communication(told) {
  if (!told || (told.who.trim() === '' && told.when === '' && told.how === '')) return null;
  const { concept, label, who, when, how, note } = told;
  return { concept, label, who: who.trim(), when: withOffset(when), how: [how, note.trim()].filter(Boolean).join(', ') };
}

/** The line of the report. @param {Communication | null} communication */
export function toldText(communication) {
  if (!communication) return '';
  const { label, who, when, how } = communication;
  const [way, ...note] = how.split(', ');
  const parts = [
    'communicated', who && `to ${who}`, HOW[way] ?? '',
    when && `on ${when.slice(0, 10)} at ${when.slice(11, 16)}`,
  ];
  const more = (HOW[way] ? note : [way, ...note]).filter(Boolean).join(', ');
  return `${capital(label)}: ${parts.filter(Boolean).join(' ')}${more ? ` (${more})` : ''}.`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const two = (number) => String(number).padStart(2, '0');

/** Now, as a field of date and time has it. */
function localNow(now = new Date()) {
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}T${two(now.getHours())}:${two(now.getMinutes())}`;
}

/** Local time with its offset, as FHIR and HL7 want it. @param {string} local */
function withOffset(local) {
  if (local === '') return '';
  const ahead = -new Date(local).getTimezoneOffset();
  const size = Math.abs(ahead);
  return `${local.slice(0, 16)}:00${ahead < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
