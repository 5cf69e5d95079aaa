// First and second visit to the page on localhost, in a table.
//
//     node benches/page/visits.mjs [--runs 3]        after `cargo xtask page`; RADLLAMA_TARGET as in the tests
//
// Interactive: the page takes text. Model ready: on the GPU, every kernel proven. First word: of an impression
// that was asked for at once. Seconds from the navigation, medians. Tasks: the longest on the main thread by the
// clock in each run (what the Long Tasks API sees from 50 ms on), and the most that any of them computed: a
// software GPU takes every core, and the main thread then waits for one in the middle of a task.
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

console.log('| | interactive | model ready | first word | longest task, ms, each run | most computed in a task, ms |\n|---|---|---|---|---|---|');
for (const [name, runs] of Object.entries(rows)) {
  const median = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[runs.length >> 1];
  const seconds = (key) => (median(key) / 1000).toFixed(1);
  const tasks = (key) => runs.map((run) => run[key].toFixed(0)).join(', ');
  console.log(`| ${name} visit | ${seconds('interactive')} | ${seconds('ready')} | ${seconds('word')} | ${tasks('longest')} | ${tasks('computed')} |`);
}

async function visit(page, server) {
  const endTrace = await traceTasks(page);
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
  return { ...times, ...(await endTrace()) };
}

/** Watches the page's main thread; the function it returns ends that and gives the most of any task, in ms. */
async function traceTasks(page) {
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel'] } });
  return async () => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    const mains = new Set(events.filter(({ args }) => args?.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = events.filter(({ ph, name, pid, tid }) => ph === 'X' && name.endsWith('RunTask') && mains.has(`${pid} ${tid}`));
    const most = (key) => Math.max(...tasks.map((task) => (task[key] ?? 0) / 1000));
    return { longest: most('dur'), computed: most('tdur') };
  };
}
