/**
 * An impression as lines. Pure functions: they know no page.
 * @typedef {{ key: 'impression' | 'recommendation', text: string, start: number }} Row
 *   a line, the field it belongs to, and where it begins in the text that it was taken from
 */

// Sentences that ask for something to be done. Only the beginning counts, or a passive near the end:
// "recommended in the prior report" inside a finding stays a finding.
const ASKS =
  /^(?:(?:a |an |the )?(?:clinical |imaging |close |short[- ]term |interval |further )*(?:recommend|suggest|consider|advise|follow[- ]?up|correlat))|\b(?:is|are|may be|should be|would be)\s+(?:strongly |also )?(?:recommended|suggested|advised|considered|helpful|of value)\b|\bshould be (?:obtained|performed|followed|correlated|repeated)\b/i;

/** Ends of sentences that are none. */
const ABBREVIATION = /(?:\b(?:dr|vs|approx|no|fig|cf|e\.g|i\.e|st|resp)|\b[a-z])\.$/i;

/**
 * Sentences of a text. A number such as 4.5 and an abbreviation do not end one.
 * @param {string} text
 * @returns {string[]}
 */
export function sentences(text) {
  const found = [];
  let from = 0;
  const ends = /[.!?。！？؟]+["')\]]*(?=\s|$)|(?<=[。！？])/gu;
  for (const { index, 0: mark } of text.matchAll(ends)) {
    const end = index + mark.length;
    const piece = text.slice(from, end);
    if (!piece.trim() || ABBREVIATION.test(piece)) continue;
    found.push(piece.trim());
    from = end;
  }
  const rest = text.slice(from).trim();
  return rest ? [...found, rest] : found;
}

/**
 * What a model wrote, as lines: its own lines where it made some, else its sentences. Numbers and
 * dashes that it put before them go: the page numbers them.
 * @param {string} text
 * @returns {Row[]} in the order of the text
 */
export function rowsIn(text) {
  const rows = text.split(/\r?\n/).flatMap((row) => splitNumbered(row.trim())).filter(Boolean);
  let from = 0;
  return rows.flatMap((row) => sentences(row)).filter(Boolean).map((line) => {
    // What was left out between two lines is space and a mark, so the next place is the right one.
    const start = text.indexOf(line, from);
    from = start + line.length;
    return { key: ASKS.test(line) ? 'recommendation' : 'impression', text: line, start };
  });
}

/** The lines of two fields, as {@link joined} puts them. @param {{ impression: string, recommendation: string }} fields @returns {Row[]} */
export function rowsOfFields(fields) {
  let start = 0;
  return ['impression', 'recommendation'].flatMap((key) =>
    (fields[key] === '' ? [] : fields[key].split('\n')).map((text) => {
      const row = { key, text, start };
      start += text.length + BREAK.length;
      return row;
    }));
}

/** Between two lines: each is one of its own, whatever it begins with. */
const BREAK = '\n\n';

/** The lines as the one text that is checked; their places count in it. @param {Row[]} rows */
export const joined = (rows) => rows.map(({ text }) => text).join(BREAK);

/** The lines of one field. @param {Row[]} rows @param {string} key */
export const linesFor = (rows, key) => rows.filter((row) => row.key === key).map(({ text }) => text);

/** `1. One. 2. Two.` as two rows, and without their marks. */
function splitNumbered(row) {
  const marked = /^(?:\(?\d{1,2}[.)]|[-–•*])\s+/;
  if (!marked.test(row)) return [row];
  return row.split(/(?<=[.!?])\s+(?=\d{1,2}[.)]\s)/).map((part) => part.replace(marked, ''));
}

/** The lines of a field. @param {string} text @returns {string[]} */
export const rowsOf = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean);

/**
 * An impression as it goes into a report.
 * @param {{ impression: string, recommendation: string }} fields
 * @param {string} [told] that somebody was told of an acute finding
 */
export function reportText({ impression, recommendation }, told = '') {
  const numbered = rowsOf(impression).map((line, index) => `${index + 1}. ${line}`);
  const asked = rowsOf(recommendation).map((line) => `- ${line}`);
  const parts = [numbered, asked.length ? ['RECOMMENDATION:', ...asked] : [], told ? ['COMMUNICATION:', told] : []];
  return parts.filter(({ length }) => length > 0).map((lines) => lines.join('\n')).join('\n\n');
}

const HEADING = /^[ \t]*IMPRESSION:[ \t]*$/im;

/** What of the findings the model reads: not an impression that stands below them. @param {string} text */
export function aboveImpression(text) {
  const at = text.search(HEADING);
  return at < 0 ? { findings: text, cut: false } : { findings: text.slice(0, at).trimEnd(), cut: true };
}

/** Findings with an impression below them, in place of one that stood there. @param {string} text @param {string} report */
export const withImpression = (text, report) => `${aboveImpression(text).findings.trimEnd()}\n\nIMPRESSION:\n${report}\n`.trimStart();
