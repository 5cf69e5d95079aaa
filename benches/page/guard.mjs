// The guard in WebAssembly, in Chromium, in a table: milliseconds a report.
//
//     node benches/page/guard.mjs [--pairs P.jsonl] [--limit 300]      after `cargo xtask page`; RADLLAMA_TARGET as in the tests
//
// P: {"id", "findings", "impression"} a line; without it, 300 reports put together from sentences written for this.
// The module alone: calls in fives, as a page's clock is coarse, and the best of five rounds a report, as other
// programs run beside it. The package's `check`: a single call, with the way to the sealed worker and back. `make`: a guard with its lexicon, once.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { open, visit } from '../../tests/browser/lib/browser.js';

const { values } = parseArgs({ options: { pairs: { type: 'string' }, limit: { type: 'string', default: '300' } } });
const FINDINGS = [
  'The heart is normal in size.', 'The heart is mildly enlarged.', 'The mediastinal contours are unremarkable.',
  'There is a small right pleural effusion.', 'There is a small left pleural effusion with adjacent atelectasis.',
  'No pneumothorax or pleural effusion is seen.', 'No focal consolidation, effusion or pneumothorax.',
  'Patchy opacity in the left lower lobe, which may represent pneumonia.', 'An 8 mm nodule is seen in the right upper lobe.',
  'Calcified granuloma in the right mid lung.', 'The pulmonary vasculature is normal.', 'Mild interstitial edema.',
  'Endotracheal tube tip 4.5 cm above the carina.', 'A left chest wall pacemaker has leads in the right atrium and right ventricle.',
  'Degenerative changes of the thoracic spine.', 'No acute bony abnormality.', 'Lung volumes are low.',
  'Tortuous aorta with calcification of the arch.', 'Elevated right hemidiaphragm, unchanged.',
];
const IMPRESSIONS = [
  'No acute cardiopulmonary abnormality.', 'Small right pleural effusion.', 'Left lower lobe pneumonia.', 'Mild cardiomegaly.',
  '8 mm right upper lobe nodule; follow-up CT is recommended.', 'Stable pacemaker.', 'Mild pulmonary edema.', 'Bibasilar atelectasis.',
];

/** Reports that are the same in each run. */
function made(count) {
  let state = 1;
  const draw = (list, most) => {
    const number = 2 + ((state = (state * 48271) % 2147483647) % most);
    return Array.from({ length: number }, () => list[(state = (state * 48271) % 2147483647) % list.length]);
  };
  return Array.from({ length: count }, () => ({
    findings: draw(FINDINGS, 10).join(' '),
    impression: draw(IMPRESSIONS, 4).map((line, at) => `${at + 1}. ${line}`).join('\n'),
  }));
}

const limit = Number(values.limit);
const pairs = values.pairs
  ? readFileSync(values.pairs, 'utf8').split('\n').filter(Boolean).slice(0, limit).map((line) => JSON.parse(line))
  : made(limit);

const ends = [];
const { page, server } = await open({ after: (end) => ends.push(end) }, { context: { bypassCSP: true } }); // the page may fetch no module
await visit(page, server, { model: 'none.json' });
const { make, alone, through } = await page.evaluate(async (pairs) => {
  const { default: init, Guard } = await import('/pkg/radllama.js');
  await init();
  const begun = performance.now();
  const guard = new Guard();
  const make = performance.now() - begun;
  const alone = pairs.map(({ findings, impression }) => {
    const round = () => {
      const begin = performance.now();
      for (let n = 0; n < 5; n++) guard.check(findings, impression, undefined, false);
      return (performance.now() - begin) / 5;
    };
    return Math.min(...Array.from({ length: 5 }, round));
  });
  const { ImpressionEngine } = await import('/radllama.js');
  await ImpressionEngine.check('', '');
  const through = [];
  for (const { findings, impression } of pairs) {
    const begin = performance.now();
    await ImpressionEngine.check(findings, impression);
    through.push(performance.now() - begin);
  }
  return { make, alone, through };
}, pairs.map(({ findings, impression }) => ({ findings, impression })));
for (const end of ends) await end();

console.log(`${pairs.length} reports; make: ${make.toFixed(1)} ms\n\n| | median | 95th percentile | largest |\n|---|---|---|---|`);
for (const [name, times] of [['the module alone', alone], ['the package’s `check`', through]]) {
  const sorted = times.sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(2);
  console.log(`| ${name} | ${at(0.5)} | ${at(0.95)} | ${at(1)} |`);
}
process.exitCode = alone.at(-1) <= 5 ? 0 : 1;
