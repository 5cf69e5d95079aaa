/**
 * The guard's report over the lines that are shown. Pure functions: they know no page.
 * @typedef {import('../index.d.ts').GuardReport} GuardReport
 * @typedef {import('../index.d.ts').GuardFlag} GuardFlag
 * @typedef {import('./text.js').Row} Row
 * @typedef {{ start: number, end: number, kind: string }} Underline in the row's text; its kind is the severity
 * @typedef {{ flag: GuardFlag, row: number, start: number, end: number }} Note
 *   a flag at a row (−1: at none, something is left out) and where it stands in the row's text
 * @typedef {{ support: [number, number][], underlines: Underline[], notes: Note[], stated: boolean }} Reading
 *   `stated`: whether the row says something that findings could support
 */

const RANK = ['hard', 'soft', 'advisory'];

/** What flags are called: by severity, and by kind. */
export const SEVERITY = { hard: 'Check', soft: 'Consider', advisory: 'Reminder' };
export const KIND = {
  side: 'Side', measurement: 'Measurement', negation: 'Negation', unsupported: 'Not in the findings',
  comparison: 'Comparison', omission: 'Left out', degenerate: 'Text',
};
export const ICON = { hard: 'alert', soft: 'question', advisory: 'bell' };

/**
 * The report by rows.
 * @param {Row[]} rows
 * @param {GuardReport} report of the text that the rows' places count in
 * @returns {{ readings: Reading[], notes: Note[] }} `notes`: all, in the order of the text, what is left out last
 */
export function byRows(rows, report) {
  const readings = rows.map((row) => {
    const lines = report.lines.filter((line) => meets(row, line));
    const places = new Map(lines.flatMap(({ support }) => support).map((place) => [place.join(), place]));
    // A recommendation says what to do next: that no finding bears it out is no news.
    return { support: [...places.values()], underlines: [], notes: [], stated: row.key === 'impression' && row.text.trim() !== '' };
  });
  const left = [];
  const notes = [];
  for (const flag of report.flags) {
    const met = flag.kind === 'omission' ? [] : [...rows.keys()].filter((at) => meets(rows[at], flag));
    for (const at of met) {
      const { start, text } = rows[at];
      const underline = { start: Math.max(0, flag.start - start), end: Math.min(text.length, flag.end - start), kind: flag.severity };
      readings[at].underlines.push(underline);
      if (at === met[0]) readings[at].notes.push({ flag, row: at, start: underline.start, end: underline.end });
    }
    if (met.length === 0) left.push({ flag, row: -1, start: 0, end: 0 });
  }
  for (const reading of readings) notes.push(...reading.notes.sort((a, b) => a.start - b.start));
  return { readings, notes: [...notes, ...left] };
}

const meets = (row, { start, end }) =>
  start === end ? start >= row.start && start <= row.start + row.text.length : start < row.start + row.text.length && end > row.start;

/**
 * A text in pieces, each of one kind or none; where spans overlap, the kind that `rank` names first counts.
 * @param {string} text
 * @param {{ start: number, end: number, kind: string }[]} spans
 * @param {string[]} [rank]
 * @returns {{ text: string, kind: string | null }[]}
 */
export function pieces(text, spans, rank = RANK) {
  const edges = [...new Set([0, text.length, ...spans.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  return edges.slice(1).map((end, index) => {
    const start = edges[index];
    const over = spans.filter((span) => span.start <= start && span.end >= end).map(({ kind }) => kind);
    return { text: text.slice(start, end), kind: rank.find((kind) => over.includes(kind)) ?? null };
  });
}

/** How many flags of each severity. @param {readonly GuardFlag[]} flags @returns {Record<'hard' | 'soft' | 'advisory', number>} */
export const countBySeverity = (flags) =>
  Object.fromEntries(RANK.map((severity) => [severity, flags.filter((flag) => flag.severity === severity).length]));

/** A message as a sentence. @param {string} message */
export const messageText = (message) => `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
