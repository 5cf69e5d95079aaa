// A made-up study, its readers, and its figures computed by hand: no line of the program's own statistics is here.
import { readFileSync } from 'node:fs';

import { open } from './browser.js';

export const CRITERIA = ['understandability', 'coherence', 'relevance', 'conciseness', 'clinical_utility'];
/** In the order of the alphabet, as figures have them. */
export const SYSTEMS = ['quokka-7b', 'wombat-tuned'];

const KINDS = ['A small effusion is seen at the base.', 'The heart is normal in size and the lungs are clear.', 'Patchy opacity in the lower lobe, which was not there before.'];

/** Findings and outputs are told apart by their numbers: `Text 7 q` is the first system's of report 7. */
export const studyFile = (reports) =>
  `{"study": "Chest radiographs, June", "seed": 11}\n${Array.from({ length: reports }, (_, n) => JSON.stringify({
    id: `r${n}`, findings: `Report ${n}. ${KINDS[n % 3]} No pneumothorax.`,
    outputs: { [SYSTEMS[1]]: `Text ${n} w. ${KINDS[n % 3]}`, [SYSTEMS[0]]: `Text ${n} q. ${KINDS[n % 3]}` },
  })).join('\n')}\n`;

/** The mark that reader r gives system s for criterion c of report n; from a fixed generator, the second being better. */
export function mark(n, r, s, c) {
  let x = (n * 73856093) ^ (r * 19349663) ^ (s * 83492791) ^ (c * 2971215073);
  x = Math.imul(x ^ (x >>> 15), 2246822519);
  x = (x ^ (x >>> 13)) >>> 0;
  const common = ((n * 7 + s * 5 + c * 3) % 4) + (s === 1 ? 0.8 : 0);
  return Math.max(1, Math.min(5, Math.round(1.4 + common + ((x % 1000) / 1000 - 0.5) * 1.6)));
}

/** The system that reader r prefers for report n: the one with the larger sum, or by a rule. */
export function choice(n, r) {
  const sum = (s) => CRITERIA.reduce((sum, _, c) => sum + mark(n, r, s, c), 0);
  return sum(0) === sum(1) ? (n + r) % 2 : sum(1) > sum(0) ? 1 : 0;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Krippendorff's alpha from pairs of values, straight from its definition: 1 - D_o / D_e. @param {number[][]} units */
function alpha(units, delta) {
  const values = units.flat();
  let observed = 0;
  for (const unit of units) {
    for (let i = 0; i < unit.length; i++) for (let j = 0; j < unit.length; j++) if (i !== j) observed += delta(unit[i], unit[j], values) / (unit.length - 1);
  }
  let expected = 0;
  for (let i = 0; i < values.length; i++) for (let j = 0; j < values.length; j++) if (i !== j) expected += delta(values[i], values[j], values);
  return 1 - (observed / values.length) / (expected / (values.length * (values.length - 1)));
}

const interval = (a, b) => (a - b) ** 2;
/** Krippendorff's ordinal difference: values from one to the other, half of those at the ends. */
const ordinal = (() => {
  let known = null;
  return (a, b, values) => {
    if (known?.values !== values) known = { values, counts: [1, 2, 3, 4, 5].map((mark) => values.filter((value) => value === mark).length) };
    const [low, high] = a < b ? [a, b] : [b, a];
    let between = 0;
    for (let mark = low; mark <= high; mark++) between += known.counts[mark - 1];
    return (between - (known.counts[low - 1] + known.counts[high - 1]) / 2) ** 2;
  };
})();
const nominal = (a, b) => Number(a !== b);

/** Two-sided p of a sum if any of its terms may change its sign: all sums, counted exactly. @param {number[]} terms */
function signFlip(terms) {
  let counts = new Map([[0, 1n]]);
  for (const term of terms) {
    const next = new Map();
    for (const [sum, count] of counts) for (const way of [sum + term, sum - term]) next.set(way, (next.get(way) ?? 0n) + count);
    counts = next;
  }
  const observed = Math.abs(terms.reduce((sum, term) => sum + term, 0));
  let extreme = 0n;
  for (const [sum, count] of counts) if (Math.abs(sum) >= observed) extreme += count;
  return Number((extreme * 10n ** 15n) / 2n ** BigInt(terms.length)) / 1e15;
}

function binomial(k, n) {
  const choose = (k) => Array.from({ length: k }, (_, i) => i).reduce((ways, i) => (ways * BigInt(n - i)) / BigInt(i + 1), 1n);
  let tail = 0n;
  for (let i = 0; i <= Math.min(k, n - k); i++) tail += choose(i);
  return Math.min(1, Number((2n * tail * 10n ** 15n) / 2n ** BigInt(n)) / 1e15);
}

function holm(ps) {
  const order = ps.map((_, at) => at).sort((a, b) => ps[a] - ps[b]);
  const corrected = [];
  order.reduce((least, at, rank) => (corrected[at] = Math.max(least, Math.min(1, ps[at] * (ps.length - rank)))), 0);
  return corrected;
}

/** All figures that need no chance. */
export function byHand(reports, readers) {
  const numbers = (count) => Array.from({ length: count }, (_, at) => at);
  const all = numbers(reports).flatMap((n) => numbers(readers).map((r) => [n, r]));
  const five = (n, r, s) => mean(CRITERIA.map((_, c) => mark(n, r, s, c)));
  const value = (n, r, s, c) => (c < 5 ? mark(n, r, s, c) : five(n, r, s));
  const means = [0, 1].map((s) => numbers(6).map((c) => {
    const values = all.map(([n, r]) => value(n, r, s, c));
    return { mean: mean(values), sd: Math.sqrt(values.reduce((sum, v) => sum + (v - mean(values)) ** 2, 0) / (values.length - 1)), count: values.length };
  }));
  const differences = numbers(6).map((c) => {
    const sums = numbers(reports).map((n) => Math.round(numbers(readers).reduce((sum, r) => sum + (value(n, r, 0, c) - value(n, r, 1, c)) * (c < 5 ? 1 : 5), 0)));
    return { difference: mean(all.map(([n, r]) => value(n, r, 0, c) - value(n, r, 1, c))), p: signFlip(sums) };
  });
  const corrected = holm(differences.slice(0, 5).map(({ p }) => p));
  differences.forEach((gain, at) => (gain.p_holm = corrected[at] ?? gain.p));
  const units = (c) => numbers(reports).flatMap((n) => [0, 1].map((s) => numbers(readers).map((r) => mark(n, r, s, c))));
  const votes = [0, 1].map((s) => all.filter(([n, r]) => choice(n, r) === s).length);
  const won = [0, 1].map((s) => numbers(reports).filter((n) => numbers(readers).filter((r) => choice(n, r) === s).length > readers / 2).length);
  return {
    means, differences,
    agreement: numbers(5).map((c) => ({ ordinal: alpha(units(c), ordinal), interval: alpha(units(c), interval) })),
    preference: {
      votes, won, p: binomial(won[0], won[0] + won[1]), p_judgements: binomial(votes[0], reports * readers),
      alpha: alpha(numbers(reports).map((n) => numbers(readers).map((r) => choice(n, r))), nominal),
    },
  };
}

/** The page, opened. @param {{ after: (end: () => Promise<void>) => void }} t @param {object} [options] as {@link open} */
export async function openStudy(t, { query = '', routes, ...options } = {}) {
  const opened = await open(t, { webgpu: false, ...options, context: { colorScheme: 'dark', ...options.context } });
  await routes?.(opened.context);
  await opened.page.goto(`${opened.server.url}study.html${query}`);
  await opened.page.waitForSelector('#start:not([hidden])');
  return opened;
}

/** Opens a study file for a reader. */
export async function begin(page, text, reader) {
  await page.setInputFiles('#study-file', { name: 'study.jsonl', mimeType: 'application/json', buffer: Buffer.from(text) });
  await page.waitForSelector('#reader[open]');
  await page.keyboard.type(reader);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#rate:not([hidden])');
}

/** The report that is shown, and which system's text stands where. */
export const shown = (page) =>
  page.evaluate(() => {
    const texts = [...document.querySelectorAll('.column .text')].map(({ textContent }) => /Text (\d+) (.)/.exec(textContent));
    return { n: Number(texts[0][1]), places: texts.map(([, , letter]) => (letter === 'q' ? 0 : 1)) };
  });

/** Answers the report that is shown by keys alone. */
export async function answer(page, r) {
  const { n, places } = await shown(page);
  const digits = places.map((s) => CRITERIA.map((_, c) => mark(n, r, s, c)).join('')).join('');
  await page.keyboard.type(digits + 'ab'[places.indexOf(choice(n, r))]);
  await page.keyboard.press('Enter');
  return { n, places };
}

/** What a button saves. */
export async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
}
