// How long a reader waits for the first word: on a first visit, and with the model stored.
//
//   node benches/page/first_token.mjs [--runs 3] [--tokens 32] [CHROMIUM…]
//
// Serves target/www (build it with `cargo xtask wasm` and `cargo xtask page`) over the loopback, so a
// download costs next to nothing: add the model's bytes over your line. Each run has a fresh profile
// and visits twice. Times are medians in seconds from the start of the navigation; the click comes as
// soon as the page takes it. The page's own sample of 139 prompt tokens is what is read.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { chromium as defaultChromium } from '../../tests/browser/lib/paths.js';
import { TestServer } from '../../tests/browser/lib/server.js';

const require = createRequire(new URL('../../tests/browser/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const { values, positionals } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, tokens: { type: 'string', default: '32' } },
  allowPositionals: true,
});
const ARGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--enable-unsafe-webgpu',
];
const PATIENCE_MS = 300_000;

/** One visit: the times of its milestones, in seconds, and what the page says of its speed. */
async function visit(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.addInitScript(() => {
    const marks = (window.marks = {});
    const look = () => {
      if (/ready$/.test(document.getElementById('model-status')?.textContent)) marks.ready ??= performance.now();
      if (document.getElementById('text')?.textContent) marks.first ??= performance.now();
    };
    new MutationObserver(look).observe(document, { childList: true, characterData: true, subtree: true });
  });
  await page.goto(`${url}?max_new_tokens=${values.tokens}`);
  // On a first visit the page waits for the button, on a second it loads the model by itself.
  await page.waitForFunction(() => /MB|ready/.test(document.getElementById('model-status').textContent));
  await page.selectOption('#sample', { index: 2 });
  if (await page.evaluate(() => !document.getElementById('model-status').textContent.includes('download'))) {
    await page.waitForFunction(() => window.marks.ready);
  }
  await page.click('#generate');
  await page.waitForFunction(() => window.marks.first && document.getElementById('stop').disabled);
  const { ready, first } = await page.evaluate(() => window.marks);
  const rates = [...(await page.textContent('#stats')).matchAll(/([\d.]+) tokens\/s/g)].map(([, rate]) => Number(rate));
  const info = await page.evaluate(() => window.radllama.info());
  await page.close();
  return { ready: ready / 1000, first: first / 1000, prefill: rates[0], decode: rates[1], gpu: info.gpu };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

const server = await TestServer.start();
for (const executablePath of positionals.length > 0 ? positionals : [defaultChromium]) {
  const visits = { cold: [], warm: [] };
  for (let run = 0; run < Number(values.runs); run++) {
    const profile = mkdtempSync(join(tmpdir(), 'radllama-bench-'));
    const options = { executablePath, headless: true, args: ARGS, ignoreDefaultArgs: ['--disable-gpu'] };
    const context = await chromium.launchPersistentContext(profile, options);
    visits.cold.push(await visit(context, server.url));
    visits.warm.push(await visit(context, server.url));
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
  const { tier, variants, features } = visits.cold[0].gpu;
  const kernels = Object.entries(variants).map(([kernel, variant]) => `${kernel} ${variant}`).join(', ');
  console.log(`${executablePath}: tier ${tier}; ${features.join(', ') || 'no optional features'}; ${kernels}`);
  for (const [name, list] of Object.entries(visits)) {
    const of = (key, digits) => median(list.map((one) => one[key])).toFixed(digits);
    console.log(`  ${name}: model ready ${of('ready', 1)} s, first token ${of('first', 1)} s; prefill ${of('prefill', 1)} tokens/s, decode ${of('decode', 1)} tokens/s`);
  }
}
await server.close();
