// The page with the real engine in a real browser: a newcomer's path through it. What the page shows in
// every other state is in page-states.test.js, with a double of the engine.
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { makeAdapter } from './lib/adapters.js';
import { changeWorkers, idle, load, open, picture, ready, shown, visit, write } from './lib/browser.js';
import { openFake } from './lib/fake.js';
import { baseModel } from './lib/models.js';
import { www } from './lib/paths.js';
import { test } from './lib/test.js';

const BASE = { model: 'weights/base.json', beams: 1, max_new_tokens: 12 }; // enough to see it work; SwiftShader is slow
const SAMPLE = 'Chest X-ray, routine';
const HARDER = 'Chest X-ray, opacity and effusion';
const LONGER = { ...BASE, max_new_tokens: 200 };

test('a sample becomes an impression, and nothing is sent meanwhile', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server);
  await page.waitForSelector('#welcome:not([hidden])');
  await picture(page, 'first-visit');
  assert.equal(server.weightRequests.length, 0, 'no model is fetched unasked');
  await page.selectOption('#sample', { label: HARDER });
  const first = await write(page);
  assert.equal(first.error, null);
  assert.ok(first.impression.length > 10, 'an impression is written');
  assert.match(first.stats, /tokens read at .* tokens\/s \(prefill\), \d+ written at .* tokens\/s \(decode\)/);
  assert.match(first.status, /radiology adapter/);
  assert.equal(await page.textContent('#sealed-text'), 'Sealed');
  // What a newcomer sees, written by the model on this machine.
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await picture(page, 'light');
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'phone');
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.click('#details-button');
  await picture(page, 'details');
  assert.match(await page.textContent('#details'), /Graphics.+Kernels.+Model SHA-256.+Adapter SHA-256/s);

  const before = server.requests.length;
  const second = await write(page);
  assert.equal(second.impression, first.impression, 'the likeliest text is the same again');
  assert.equal(server.requests.length, before, 'nothing is requested while an impression is written');
  assert.ok(server.requests.every(({ method, bodyBytes }) => method === 'GET' && bodyBytes === 0));
});

test('load, prefill and decode are stopped within a second', async (t) => {
  const { page, server } = await open(t, { server: { bytesPerSecond: 8_000_000 } });
  await visit(page, server, LONGER);
  await page.waitForSelector('#welcome:not([hidden])');
  await page.selectOption('#sample', { label: SAMPLE });
  // From the key to the end, by the page's own clock.
  await page.evaluate(() => {
    const stop = document.getElementById('stop');
    let pressed = 0;
    addEventListener('keydown', ({ key }) => key === 'Escape' && (pressed = performance.now()), { capture: true });
    new MutationObserver(() => stop.disabled && pressed && (globalThis.stopMs = performance.now() - pressed)).observe(stop, { attributes: true });
  });
  const stop = async (what) => {
    await page.keyboard.press('Escape');
    await idle(page);
    const ms = Math.round(await page.evaluate(() => globalThis.stopMs));
    t.diagnostic(`stopped while it ${what}: ${ms} ms`);
    return ms;
  };

  await page.click('#load');
  await page.waitForFunction(() => / MB of .*MB\/s/.test(document.getElementById('amount').textContent));
  const value = await page.evaluate(() => document.getElementById('bar').value);
  assert.ok(value > 0 && value < 1);
  assert.ok((await stop('loads')) < 1000);
  assert.deepEqual([(await shown(page)).stats, (await shown(page)).status], ['Stopped.', 'No model loaded']);
  server.bytesPerSecond = Infinity;
  await page.click('#load');
  await ready(page);

  await page.fill('#findings', 'The heart is normal in size. The lungs are clear. '.repeat(60));
  let least = Infinity; // the processor stands in for the GPU, and others use it too: the best of three
  for (let attempt = 0; attempt < 3 && least >= 1000; attempt++) {
    await page.click('#generate');
    await page.waitForFunction(() => document.getElementById('phase').textContent === 'Reading the findings');
    await page.waitForTimeout(300);
    least = Math.min(least, await stop('reads'));
    assert.equal((await shown(page)).stats, 'Stopped.');
  }
  assert.ok(least < 1000);
  await page.fill('#findings', 'The lungs are clear. The heart is normal.');
  await page.focus('#findings');
  await page.keyboard.press('Control+Enter');
  const lengths = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const lengths = [];
        const lines = document.getElementById('lines');
        new MutationObserver(() => {
          const { length } = lines.textContent;
          if (length > (lengths.at(-1) ?? 0)) lengths.push(length);
          if (lengths.length === 4) resolve(lengths);
        }).observe(lines, { childList: true, characterData: true, subtree: true });
      }),
  );
  assert.equal(lengths.length, 4, 'it grows step by step');
  assert.ok((await stop('writes')) < 1000);
  const stopped = await shown(page);
  assert.match(stopped.stats, /^Stopped\. .*tokens\/s/);
  assert.ok(stopped.impression.length > 0, 'what was written stays');
});

test('empty and overlong findings are the engine’s own errors, and then it works', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, BASE);
  await page.waitForSelector('#welcome:not([hidden])');
  assert.equal((await write(page)).code, 'empty_findings');
  await page.fill('#findings', 'No acute findings. '.repeat(11_000)); // about 200 KB
  const long = await write(page);
  assert.equal(long.code, 'prompt_too_long');
  assert.match(long.error, /\d+ tokens.*context holds \d+/);
  await page.evaluate(() => (document.getElementById('findings').value = 'Lungs \0 clear.'));
  const nul = await write(page);
  assert.ok(nul.code === 'bad_text' || nul.impression.length > 0, 'NUL is refused or written about, never a crash');
  await page.fill('#findings', 'The lungs are clear <|im_end|> <script>.');
  const good = await write(page);
  assert.deepEqual([good.code, good.impression.length > 0], [null, true]);
});

test('a GGUF in parts and an adapter, both from disk, and none of it is uploaded', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, { ...BASE, model: 'none.json' });
  const parts = baseModel().manifest.files.map(({ path }) => join(www, 'weights', path));
  const { config, weights } = makeAdapter(3);
  await page.click('#model-button');
  await page.setInputFiles('#gguf', parts);
  await page.selectOption('#template', 'chatml');
  await page.click('#model-apply');
  await ready(page);
  assert.equal(server.weightRequests.length, 0);
  await page.fill('#findings', 'The lungs are clear. The heart is normal.');
  const plain = await write(page);
  assert.deepEqual([plain.error, plain.impression.length > 0], [null, true]);

  await page.click('#model-button');
  const file = (name, buffer) => ({ name, mimeType: 'application/octet-stream', buffer });
  await page.setInputFiles('#peft', [file('adapter_config.json', config), file('adapter_model.safetensors', weights)]);
  await page.click('#model-apply');
  await idle(page);
  const adapted = await write(page);
  assert.equal(adapted.error, null);
  assert.notEqual(adapted.impression, plain.impression, 'the adapter changes what is written');
  assert.ok(server.requests.every(({ method, bodyBytes }) => method === 'GET' && bodyBytes === 0));
});

test('where WebGPU is missing the page says what to do', async (t) => {
  const { page, server } = await open(t, { webgpu: false });
  await visit(page, server);
  await page.waitForSelector('#unsupported:not([hidden])');
  assert.match((await shown(page)).unsupported, /graphics adapter|no WebGPU/i);
  assert.equal(await page.isDisabled('#generate'), true);
  assert.equal(server.weightRequests.length, 0, 'nothing large is fetched for nothing');
  const { code, message } = await page.evaluate(() => window.radllama.load('weights/manifest.json').catch((e) => ({ code: e.code, message: e.message })));
  assert.equal(code, 'no_adapter');
  assert.match(message, /adapter/);
});

test('a variant that a device computes wrongly is noticed and passed over', async (t) => {
  const { page, server, context } = await open(t);
  // SwiftShader as a GPU whose subgroups are 8 wide. They are 4 wide, so sums over 8 go wrong.
  await changeWorkers(context, () => {
    const pretended = { isFallbackAdapter: false, subgroupMinSize: 8 };
    for (const [key, value] of Object.entries(pretended)) {
      Object.defineProperty(GPUAdapterInfo.prototype, key, { get: () => value });
    }
  });
  await visit(page, server, { model: 'none.json' });
  const { gpu } = (await load(page)).info;
  assert.equal(gpu.tier, 'gpu');
  assert.deepEqual(gpu.features, ['subgroups']);
  assert.equal(gpu.variants.matvec, 'base');
  const reasons = Object.entries(gpu.passed_over).filter(([name]) => name.startsWith('matvec.subgroup.'));
  assert.ok(reasons.length > 0, 'the subgroup variant was tried');
  // Computed, not refused: so the device did get the feature, which wgpu alone would not ask for.
  for (const [name, reason] of reasons) assert.match(reason, /computes .* wrongly/, name);
});

for (const [device, width, height] of [['phone', 390, 844], ['tablet', 820, 1180], ['desktop', 1280, 860], ['large', 1920, 1080], ['4k', 3840, 2160]]) {
  test(`the page fits a ${device}, first visit and written, dark and light`, async (t) => {
    const touch = device === 'phone' || device === 'tablet';
    const { page } = await openFake(t, { context: { viewport: { width, height }, hasTouch: touch }, fake: { msPerWord: 2, loadMs: 100 } });
    await page.waitForSelector('#welcome:not([hidden])');
    await fits(page);
    await picture(page, `${device}-first-visit`);
    await page.selectOption('#sample', { label: 'Chest X-ray, opacity and effusion' });
    await write(page);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await fits(page);
      await picture(page, `${device}-${colorScheme}`);
    }
  });
}

/** Nothing sticks out of the page or is cut off, and everything is large enough to hit (WCAG 2.2: 24 px). */
async function fits(page) {
  const faults = await page.evaluate(() => {
    const seen = [...document.querySelectorAll('button, select, textarea, input, summary, p, h1, h2, h3, li')].filter((e) => e.checkVisibility() && !e.closest('.visually-hidden'));
    const out = seen.filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5);
    const small = seen.filter((e) => e.matches('button, select, textarea, summary') && Math.min(e.offsetHeight, e.offsetWidth) < 24);
    const cut = seen.filter((e) => e.matches('button:not(.status), p, h1, h2, h3') && e.offsetWidth > 1 && e.scrollWidth > e.clientWidth + 1);
    const name = (e) => e.id || e.textContent.slice(0, 40);
    return { scroll: document.documentElement.scrollWidth > innerWidth, out: out.map(name), small: small.map(name), cut: cut.map(name) };
  });
  assert.deepEqual(faults, { scroll: false, out: [], small: [], cut: [] });
}
