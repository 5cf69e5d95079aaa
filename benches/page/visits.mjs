// First and second visit to the page on localhost, in a table.
//
//     node benches/page/visits.mjs [--runs 3]        after `cargo xtask page`; RADLLAMA_TARGET as in the tests
//
// Interactive: the page takes text. Model ready: on the GPU, every kernel proven. First word: of an impression
// that was asked for at once. Seconds from the navigation, medians; the last column is the longest task on the
// main thread (Long Tasks API: 0 where none took 50 ms).
import { parseArgs } from 'node:util';

import { open } from '../../tests/browser/lib/browser.js';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const FINDINGS = 'The heart is normal in size. There is a small right pleural effusion.';
const rows = { first: [], second: [] };

for (let run = 0; run < Number(values.runs); run++) {
  const ends = [];
  const { page, server, context } = await open({ after: (end) => ends.push(end) }, { context: { serviceWorkers: 'allow' } });
  rows.first.push(await visit(page, server));
  await page.close();
  rows.second.push(await visit(await context.newPage(), server));
  for (const end of ends) await end();
}

console.log('| | interactive | model ready | first word | longest task, ms |\n|---|---|---|---|---|');
for (const [name, runs] of Object.entries(rows)) {
  const median = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[runs.length >> 1];
  const seconds = (key) => (median(key) / 1000).toFixed(1);
  console.log(`| ${name} visit | ${seconds('interactive')} | ${seconds('ready')} | ${seconds('word')} | ${median('longest').toFixed(0)} |`);
}

async function visit(page, server) {
  await page.addInitScript(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: 'longtask', buffered: true });
  });
  await page.goto(server.url);
  await page.waitForFunction(() => document.getElementById('model-status').textContent !== 'Looking for a model');
  const interactive = await page.evaluate(() => performance.now());
  await page.fill('#findings', FINDINGS);
  // As soon as the page takes it: a stored model loads by itself first.
  await page.evaluate(() => {
    const timer = setInterval(() => {
      if (document.querySelector('#output li')?.textContent.trim()) clearInterval(timer);
      else if (document.getElementById('stop').disabled) document.getElementById('generate').click();
    }, 50);
  });
  const at = (test) => page.waitForFunction(test).then((handle) => handle.jsonValue());
  const ready = at(() => window.radllama.session.engine && performance.now());
  const word = at(() => document.querySelector('#output li')?.textContent.trim() && performance.now());
  const times = { interactive, ready: await ready, word: await word };
  await page.waitForFunction(() => document.getElementById('stop').disabled);
  return { ...times, longest: await page.evaluate(() => globalThis.longest) };
}
