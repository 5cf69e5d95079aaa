/**
 * The words of the interface, by language. `{name}` is filled in; a text that a language lacks is
 * taken from English.
 * @typedef {import('../widget.d.ts').WidgetTexts} WidgetTexts
 */

/** @type {WidgetTexts} */
const en = {
  label: 'Impression',
  findings: 'Findings',
  findingsHint: 'Findings of the report',
  hint: 'Write it here, or have it written from the findings.',
  generate: 'Write impression',
  regenerate: 'Write again',
  stop: 'Stop',
  copy: 'Copy',
  copied: 'Copied',
  copyRefused: 'The browser refused: the text is selected, press Ctrl+C',
  modelText: 'Model’s text',
  ownText: 'My text',
  instruction: 'Instruction',
  instructionHint: 'Such as: two sentences; mention the prior',
  idle: 'The model loads at first use',
  starting: 'Starting',
  loading: 'Loading the model',
  preparing: 'Preparing the GPU',
  waiting: 'Waiting for another impression',
  reading: 'Reading the findings',
  writing: 'Writing',
  ready: 'Ready',
  written: 'Written by the model',
  edited: 'Edited',
  stopped: 'Stopped',
  cutShort: 'Ended at its length limit',
  announceLoading: 'Loading the model',
  announceWriting: 'Writing the impression',
  announceWritten: 'The impression is written',
  announceStopped: 'Stopped',
  notice: 'Research tool, not a medical device: check every sentence. Nothing leaves this device.',
  required: 'An impression is required.',
  unfinished: 'The impression is still being written.',
  amount: '{done} of {total} MB',
  count: '{done} of {total}',
  toCheck: '{count} to check',
  line: 'Line {line}',
  flagsLabel: 'Flags',
  acute: 'Acute finding: {label}. Communicated?',
  severities: { hard: 'Check', soft: 'Consider', advisory: 'Reminder' },
  flags: {},
  errors: {
    empty_findings: 'There are no findings yet. Enter them, then try again.',
    no_webgpu: 'This browser has no WebGPU. A current Chrome, Edge, Firefox or Safari has it.',
    device_lost: 'The browser took the GPU away. Your text is safe: try again.',
    out_of_memory: 'There is not enough GPU memory. Close other tabs or programs, then try again.',
  },
};

/** @type {WidgetTexts} */
const de = {
  label: 'Beurteilung',
  findings: 'Befund',
  findingsHint: 'Befund des Berichts',
  hint: 'Hier schreiben oder aus dem Befund schreiben lassen.',
  generate: 'Beurteilung schreiben',
  regenerate: 'Neu schreiben',
  stop: 'Stopp',
  copy: 'Kopieren',
  copied: 'Kopiert',
  copyRefused: 'Vom Browser verweigert: Der Text ist markiert, Strg+C drücken',
  modelText: 'Text des Modells',
  ownText: 'Mein Text',
  instruction: 'Anweisung',
  instructionHint: 'Etwa: zwei Sätze; Voraufnahme erwähnen',
  idle: 'Das Modell lädt bei der ersten Benutzung',
  starting: 'Startet',
  loading: 'Modell wird geladen',
  preparing: 'GPU wird vorbereitet',
  waiting: 'Wartet auf eine andere Beurteilung',
  reading: 'Befund wird gelesen',
  writing: 'Schreibt',
  ready: 'Bereit',
  written: 'Vom Modell geschrieben',
  edited: 'Bearbeitet',
  stopped: 'Angehalten',
  cutShort: 'An der Längengrenze beendet',
  announceLoading: 'Das Modell wird geladen',
  announceWriting: 'Die Beurteilung wird geschrieben',
  announceWritten: 'Die Beurteilung ist geschrieben',
  announceStopped: 'Angehalten',
  notice: 'Forschungswerkzeug, kein Medizinprodukt: jeden Satz prüfen. Nichts verlässt dieses Gerät.',
  required: 'Eine Beurteilung ist erforderlich.',
  unfinished: 'Die Beurteilung wird noch geschrieben.',
  amount: '{done} von {total} MB',
  count: '{done} von {total}',
  toCheck: '{count} zu prüfen',
  line: 'Zeile {line}',
  flagsLabel: 'Hinweise',
  acute: 'Akuter Befund: {label}. Mitgeteilt?',
  severities: { hard: 'Prüfen', soft: 'Bedenken', advisory: 'Erinnerung' },
  flags: {
    side: 'Die Seite ist nicht die des Befunds.',
    measurement: 'Dieses Maß steht nicht im Befund.',
    negation: 'Der Befund sagt das Gegenteil.',
    unsupported: 'Davon steht nichts im Befund.',
    comparison: 'Verglichen wird mit einer Untersuchung, die der Befund nicht kennt.',
    omission: 'Ein akuter Befund fehlt in der Beurteilung.',
    degenerate: 'Der Text ist unfertig, wiederholt oder abgeschrieben.',
  },
  errors: {
    empty_findings: 'Es gibt noch keinen Befund. Bitte eingeben und erneut versuchen.',
    network: 'Etwas konnte nicht geladen werden. Verbindung prüfen und erneut versuchen; Geladenes bleibt erhalten.',
    insecure_context: 'Diese Seite muss über HTTPS geöffnet werden, damit der Browser die GPU freigibt.',
    no_webgpu: 'Dieser Browser hat kein WebGPU. Ein aktueller Chrome, Edge, Firefox oder Safari hat es.',
    no_adapter: 'Der Browser gibt keine GPU frei. Treiber und Hardwarebeschleunigung des Browsers prüfen.',
    device_lost: 'Der Browser hat die GPU entzogen. Der Text ist erhalten: bitte erneut versuchen.',
    out_of_memory: 'Der Speicher der GPU reicht nicht. Andere Tabs oder Programme schließen und erneut versuchen.',
    prompt_too_long: 'Der Befund ist für das Modell zu lang. Bitte kürzen und erneut versuchen.',
    beams_too_long: 'Der Befund ist für die Strahlsuche zu lang. Bitte kürzen oder mit weniger Strahlen schreiben.',
    hash_mismatch: 'Eine Datei des Modells ist beschädigt oder verändert. Sie wurde nicht verwendet.',
    internal: 'Ein Fehler im Programm. Bitte die Seite neu laden.',
  },
};

/** Language → texts. @type {Map<string, Partial<WidgetTexts>>} */
const languages = new Map([['en', en], ['de', de]]);

/**
 * Adds a language, or replaces texts of one.
 * @param {string} language as in `lang`
 * @param {Partial<WidgetTexts>} texts
 */
export function addTexts(language, texts) {
  const key = language.toLowerCase();
  languages.set(key, merge(languages.get(key) ?? {}, texts));
}

/**
 * The texts for a language (`de-AT` falls back to `de`, anything unknown to English) with changes.
 * @param {string} language
 * @param {Partial<WidgetTexts>} [changes]
 * @returns {WidgetTexts}
 */
export function textsFor(language, changes = {}) {
  const key = language.toLowerCase();
  const known = languages.get(key) ?? languages.get(key.split('-')[0]) ?? {};
  return merge(merge(en, known), changes);
}

const GROUPS = ['errors', 'flags', 'severities'];
const merge = (under, over) => ({
  ...under, ...over, ...Object.fromEntries(GROUPS.map((group) => [group, { ...under[group], ...over[group] }])),
});

/** Fills `{name}` in. @param {string} text @param {Record<string, string | number>} values */
export const filled = (text, values) => text.replace(/\{(\w+)\}/g, (mark, name) => values[name] ?? mark);

/**
 * The language of an element: its own `lang` or its nearest ancestor's, across shadow roots.
 * @param {Element} element
 */
export function languageOf(element) {
  for (let node = element; node; node = node.getRootNode().host) {
    const lang = node.closest('[lang]')?.getAttribute('lang');
    if (lang) return lang;
  }
  return navigator.language ?? 'en';
}
