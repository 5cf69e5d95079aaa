/** The batch as files: JSON Lines as `radllama batch` writes them, and a table. */

/** Rows that are read from the store at a time. */
const STEP = 200;

/**
 * @param {import('./store.js').Store} store
 * @param {number[]} rows
 * @returns {Promise<Blob>}
 */
export async function asJsonLines(store, rows) {
  return blob(store, rows, 'application/jsonl', '', (entry) => `${JSON.stringify(line(entry))}\n`);
}

const COLUMNS = [
  'id', 'row', 'impression', 'stop', 'hard_flags', 'soft_flags', 'flags', 'rouge1', 'rouge2', 'rougeL',
  'prefill_ms', 'decode_ms', 'tokens', 'error_code', 'error_message',
];

/**
 * @param {import('./store.js').Store} store
 * @param {number[]} rows
 * @returns {Promise<Blob>}
 */
export async function asTable(store, rows) {
  // The mark is for Excel, which else takes UTF-8 for the system's encoding.
  const head = `\ufeff${COLUMNS.join(',')}\r\n`;
  return blob(store, rows, 'text/csv;charset=utf-8', head, (entry) => `${cells(entry).map(quoted).join(',')}\r\n`);
}

async function blob(store, rows, type, head, text) {
  const parts = [head];
  for (let at = 0; at < rows.length; at += STEP) {
    const entries = await store.entries(rows.slice(at, at + STEP));
    parts.push(entries.map(text).join(''));
  }
  return new Blob(parts, { type });
}

/** A line as the command line writes it: its places count Unicode scalar values. */
export function line({ row, result }) {
  const { row: number, id, findings } = row;
  const error = row.error ?? result?.error;
  if (error) return { id, row: number, error: { code: error.code, message: error.message } };
  if (!result) return { id, row: number, waiting: true };
  const { impression, stop, tokens, timings, guard, rouge } = result;
  const [inFindings, inImpression] = [scalars(findings), scalars(impression)];
  const place = (at) => ({ start: inImpression(at.start), end: inImpression(at.end) });
  const pair = ([start, end]) => [inFindings(start), inFindings(end)];
  const checked = guard && {
    lines: guard.lines.map(({ text, support }) => ({ text, support: support.map(pair) })),
    flags: guard.flags.map((flag) => ({ ...flag, ...place(flag), ...(flag.findings && { findings: pair(flag.findings) }) })),
    acute: guard.acute?.map((acute) => {
      const at = acute.section === 'findings' ? inFindings : inImpression;
      return { ...acute, start: at(acute.start), end: at(acute.end) };
    }),
  };
  return {
    id, row: number, impression, stop, tokens: tokens.generated, prompt_tokens: tokens.prompt, ...checked,
    ...(rouge && { rouge: { rouge1: rouge[0], rouge2: rouge[1], rougeL: rouge[2] } }),
    timings: {
      prefill_ms: timings.prefillMs, decode_ms: timings.decodeMs,
      prefill_tokens_per_s: timings.prefillTokensPerS, decode_tokens_per_s: timings.decodeTokensPerS,
    },
  };
}

/** From UTF-16 code units to scalar values. @param {string} text */
function scalars(text) {
  if (!/[\ud800-\udfff]/.test(text)) return (at) => at;
  return (at) => [...text.slice(0, at)].length;
}

function cells({ row, result }) {
  const error = row.error ?? result?.error ?? {};
  const { impression, stop, tokens, timings, guard, rouge = [] } = result ?? {};
  const flags = guard?.flags ?? [];
  const some = (severity) => (guard ? flags.filter((flag) => flag.severity === severity).length : '');
  const told = flags.map(({ severity, kind, message }) => `${severity} ${kind}: ${message}`).join(' | ');
  const digits = (number, places) => (Number.isFinite(number) ? number.toFixed(places) : '');
  return [
    row.id ?? '', row.row, impression ?? '', stop ?? '', some('hard'), some('soft'), told,
    ...[0, 1, 2].map((at) => digits(rouge[at], 4)), digits(timings?.prefillMs, 1), digits(timings?.decodeMs, 1),
    tokens?.generated ?? '', error.code ?? '', error.message ?? '',
  ];
}

/** A cell after RFC 4180. @param {unknown} value */
const quoted = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
