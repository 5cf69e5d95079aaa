import { ImpressionEngine } from '../radllama.js';
import { $, download, el, toast } from './dom.js';
import { sentence } from './format.js';
import { keep, kept } from './kept.js';
import { aboveImpression, joined, linesFor, rowsOf, rowsOfFields } from './text.js';

/** What is offered, and for whom it is. */
const FORMATS = [
  ['text', 'Plain text', 'Headings and numbered lines'],
  ['markdown', 'Markdown', 'For notes and wikis'],
  ['fhir', 'FHIR R4 document', 'JSON with a DiagnosticReport, sections by LOINC code and provenance'],
  ['hl7', 'HL7 v2.5.1 message', 'ORU^R01, marked as preliminary and for training'],
];
/** What may be known of the report. Sent nowhere, kept nowhere: a name left over would go into the next report. */
const FIELDS = [
  ['id', 'Report number'],
  ['accession', 'Accession number'],
  ['patient-id', 'Patient number'],
  ['family', 'Family name'],
  ['given', 'Given name'],
  ['study-time', 'Date of the examination'],
];
const KEPT = 'radllama-export';

/** The dialog that saves the report in a format of the trade. The engine's sealed worker writes the file. */
export class Exporter {
  #dialog;
  #form;
  #problem;

  /**
   * @param {import('./writing.js').Writing} writing
   * @param {import('./session.js').Session} session
   */
  constructor(writing, session) {
    this.writing = writing;
    this.session = session;
    const choice = ([value, name, about]) =>
      el('label', { class: 'choice' }, el('input', { type: 'radio', name: 'format', value, required: true }),
        el('span', {}, el('b', {}, name), el('span', { class: 'soft' }, about)));
    const field = ([name, label]) =>
      el('label', {}, label, el('input', { type: name === 'study-time' ? 'date' : 'text', name, autocomplete: 'off', spellcheck: false, dir: 'auto' }));
    this.#problem = el('p', { class: 'problem', role: 'alert', hidden: true });
    this.#form = el('form', { method: 'dialog' },
      el('div', { class: 'dialog-head' }, el('h2', { id: 'export-title' }, 'Save the report'),
        el('button', { class: 'icon-button', type: 'button', 'data-close': '', 'aria-label': 'Close', 'data-icon': 'close' })),
      el('fieldset', {}, el('legend', {}, 'Format'), ...FORMATS.map(choice)),
      el('details', { class: 'fold' },
        el('summary', {}, el('span', { 'data-icon': 'chevron-right' }), 'Numbers and names ', el('span', { class: 'soft' }, 'optional')),
        el('div', { class: 'fields' }, ...FIELDS.map(field))),
      el('p', { class: 'drop' }, el('span', { 'data-icon': 'lock' }),
        'Made on this device and saved by your browser. The file says that a language model drafted it, with which model, and what the checks found.'),
      this.#problem,
      el('div', { class: 'dialog-foot' }, el('button', { class: 'quiet', type: 'button', 'data-close': '' }, 'Cancel'),
        el('button', { class: 'primary', type: 'submit' }, 'Save')));
    this.#dialog = el('dialog', { id: 'export-dialog', 'aria-labelledby': 'export-title' }, this.#form);
    document.body.append(this.#dialog);
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#save();
    };
    this.#dialog.addEventListener('close', () => this.#form.reset());
    $('download').setAttribute('aria-haspopup', 'dialog');
  }

  open() {
    if (this.#dialog.open) return;
    const last = kept(KEPT);
    const { format } = this.#form.elements;
    format.value = FORMATS.some(([value]) => value === last) ? last : 'text';
    this.#say('');
    this.#dialog.showModal();
    for (const input of format) if (input.checked) input.focus();
  }

  #say(problem) {
    this.#problem.textContent = problem;
    this.#problem.hidden = problem === '';
  }

  async #save() {
    const given = Object.fromEntries([...new FormData(this.#form)].map(([name, value]) => [name, value.trim() || null]));
    const engine = this.session.engine ?? ImpressionEngine;
    this.#say('');
    try {
      const { name, mime, bytes } = await engine.export(await this.#report(given, engine), given.format);
      const file = given.id ? name : name.replace('report', 'impression');
      download(new Blob([bytes], { type: mime }), file);
      keep(KEPT, given.format);
      this.#dialog.close();
      this.writing.unsaved = false;
      toast(`Saved as ${file}`);
    } catch (error) {
      this.#say(sentence(error.message));
    }
  }

  /** @returns {Promise<import('../index.d.ts').ExportReport>} */
  async #report(given, engine) {
    const { writing } = this;
    const { current, isEdited } = writing.versions;
    const findings = current?.findings ?? aboveImpression($('findings').value).findings;
    const full = (text) => rowsOf(text).join('\n');
    const rows = rowsOfFields({ impression: full(writing.text.impression), recommendation: full(writing.text.recommendation) });
    const prior = $('prior').value.trim() || null;
    const checked = await engine.check(findings, joined(rows), { prior });
    const told = writing.communication();
    const { result } = current ?? {};
    const { name, sha256 } = this.session.engine?.info.model ?? {};
    const same = result && String(sha256) === String(result.modelSha256);
    return {
      id: given.id,
      accession: given.accession,
      studyTime: given['study-time'],
      patient: { id: given['patient-id'], family: given.family, given: given.given },
      findings,
      impression: linesFor(rows, 'impression'),
      recommendation: linesFor(rows, 'recommendation'),
      prior,
      flags: inRows(checked.flags, rows),
      acute: checked.acute,
      communications: told ? [told] : [],
      provenance: {
        origin: isEdited ? 'edited' : 'generated',
        software: 'radllama',
        version: result?.version,
        model: same ? name : undefined,
        modelSha256: result?.modelSha256,
        adapterSha256: result?.adapterSha256,
      },
    };
  }
}

/** The guard's flags with the numbers of the impression's lines; its own lines are sentences of all rows. */
function inRows(flags, rows) {
  return flags.map((flag) => {
    const line = rows.findLastIndex(({ start }) => start <= flag.start);
    return { ...flag, line: rows[line]?.key === 'impression' ? line : undefined };
  });
}
