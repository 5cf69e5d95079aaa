// First and second visit to the page on localhost, in a table.
//
//     node benches/page/visits.mjs [--runs 3]        after `cargo xtask page`; RADLLAMA_TARGET as in the tests
//
// Interactive: the page takes text. Model ready: on the GPU, every kernel proven. First word: of an impression
// that was asked for at once. Seconds from the navigation, medians. Long tasks: what the Long Tasks API tells of
// the main thread from the navigation to the last word (start and length, ms). Computed: the most that any of the
// page's tasks computed, on the thread's own clock: a software GPU takes every core, and a task is then longer
// by the clock on the wall, as the main thread waits for a core in the middle of it.
//
// Everything is measured by the page itself: a driver that looks in on it takes tasks of the page's thread.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { openBare } from '../../tests/browser/lib/bare.js';
import { TestServer } from '../../tests/browser/lib/server.js';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const rows = { first: [], second: [] };

for (let run = 0; run < Number(values.runs); run++) {
  const profile = mkdtempSync(join(tmpdir(), 'radllama-visits-'));
  const server = await TestServer.start();
  for (const name of ['first', 'second']) rows[name].push(await visit(profile, server.url));
  await server.close();
  rmSync(profile, { recursive: true, force: true });
}

console.log('| | interactive | model ready | first word | long tasks of each run | most computed in a task, ms |\n|---|---|---|---|---|---|');
for (const [name, runs] of Object.entries(rows)) {
  const median = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[runs.length >> 1];
  const seconds = (key) => (median(key) / 1000).toFixed(1);
  const long = runs.map(({ longTasks }) => longTasks.map(([start, ms]) => `${start}+${ms}`).join(' ') || 'none').join(', ');
  const computed = runs.map((run) => run.computed.toFixed(0)).join(', ');
  console.log(`| ${name} visit | ${seconds('interactive')} | ${seconds('ready')} | ${seconds('word')} | ${long} | ${computed} |`);
}

/** A visit in a browser that was just started. */
async function visit(profile, url) {
  const { session, close } = await openBare(profile);
  for (const domain of ['Page', 'Runtime']) await session.send(`${domain}.enable`);
  await session.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${measure})()` });
  const endTrace = await traceTasks(session);
  const told = new Promise((resolve) => session.on('Runtime.consoleAPICalled', ({ args: [{ value }] }) => String(value).startsWith('visit: ') && resolve(value)));
  await session.send('Page.navigate', { url });
  const times = JSON.parse((await told).slice('visit: '.length));
  const computed = await endTrace(url);
  await close();
  return { ...times, computed };
}

/** In the page: asks for an impression as soon as the page takes it, and tells the times in the console. */
function measure() {
  if (window !== top) return;
  const times = { longTasks: [] };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) times.longTasks.push([startTime, duration].map(Math.round));
  }).observe({ type: 'longtask', buffered: true });
  const $ = (id) => document.getElementById(id);
  const reached = (name, is) => {
    if (times[name] === undefined && is()) times[name] = performance.now();
    return times[name] !== undefined;
  };
  const look = () => {
    if (!reached('interactive', () => ($('model-status')?.textContent ?? 'Looking for a model') !== 'Looking for a model')) return;
    if ($('findings').value === '') $('findings').value = 'The heart is normal in size. There is a small right pleural effusion.';
    if (!reached('ready', () => window.radllama.session.engine) || times.word === undefined) {
      if ($('stop').disabled) $('generate').click(); // a stored model loads by itself first
    }
    if (!reached('word', () => document.querySelector('#output li')?.textContent.trim()) || !$('stop').disabled) return;
    clearInterval(timer);
    setTimeout(() => console.log(`visit: ${JSON.stringify(times)}`), 200); // long tasks are told late
  };
  const timer = setInterval(look, 50);
}

/** Watches the page's main thread; the function it returns ends that and gives the most that any task computed, in ms. */
async function traceTasks(session) {
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'devtools.timeline'] } });
  return async (url) => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    // The browser has main threads of its own pages, too: ours is where this address was committed.
    const ours = new Set(events.filter(({ name, args }) => name === 'CommitLoad' && args.data.url.startsWith(url)).map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = events.filter(({ ph, name, pid, tid }) => ph === 'X' && name.endsWith('RunTask') && ours.has(`${pid} ${tid}`));
    return Math.max(...tasks.map(({ tdur = 0 }) => tdur / 1000));
  };
}
