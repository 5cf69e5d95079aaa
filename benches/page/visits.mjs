// First and second visit to the page on localhost, in a table.
//
//     node benches/page/visits.mjs [--runs 3]        after `cargo xtask page`; RADLLAMA_TARGET as in the tests
//
// Interactive: the page takes text. Model ready: on the GPU, every kernel proven. First word: of an impression
// that was asked for at once. Seconds from the navigation, medians. Long tasks: what the Long Tasks API tells of
// the main thread from the navigation to the last word (start and length, ms). Computed: the most that any of the
// page's tasks computed, on the thread's own clock: a software GPU takes every core, and a task is then longer
// by the clock on the wall, as the main thread waits for a core in the middle of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { TestServer } from '../../tests/browser/lib/server.js';
import { visit } from '../../tests/browser/lib/visit.js';

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
