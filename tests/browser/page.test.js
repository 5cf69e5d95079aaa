// The real page in a real browser: a newcomer's path through it.
import assert from 'node:assert/strict';

import { changeWorkers, idle, load, open, picture, shown, visit, write } from './lib/browser.js';
import { test } from './lib/test.js';

const SHORT = { max_new_tokens: 12 }; // enough to see it work; SwiftShader is slow

test('a sample becomes an impression, and nothing is sent meanwhile', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, SHORT);
  await page.waitForFunction(() => document.getElementById('model-status').textContent.includes('MB'));
  await picture(page, 'first-visit');
  await page.selectOption('#sample', { index: 2 });
  const first = await write(page);
  assert.equal(first.error, null);
  assert.ok(first.impression.trim().length > 10, 'an impression is written');
  assert.match(first.stats, /tokens read at .* tokens\/s \(prefill\), \d+ written at .* tokens\/s \(decode\)/);
  assert.match(first.status, /ready/);
  await page.click('summary');
  assert.match(await page.textContent('#device'), /Adapter.+Kernel tier/s);
  await picture(page, 'impression');

  const before = server.requests.length;
  assert.doesNotMatch(first.stats, /^1 tokens? read/);
  const second = await write(page);
  assert.equal(second.impression, first.impression, 'greedy decoding repeats itself');
  assert.equal(server.requests.length, before, 'nothing is requested while an impression is written');
  assert.ok(server.requests.every(({ method, bodyBytes }) => method === 'GET' && bodyBytes === 0));
});

test('text streams in, Escape stops it, and Ctrl+Enter begins again', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, { max_new_tokens: 200 });
  await page.selectOption('#sample', { index: 1 });
  await page.focus('#findings');
  await page.keyboard.press('Control+Enter');
  const lengths = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const lengths = [];
        const text = document.getElementById('text');
        new MutationObserver(() => {
          const { length } = text.textContent;
          if (length > (lengths.at(-1) ?? 0)) lengths.push(length);
          if (lengths.length === 4) resolve(lengths);
        }).observe(text, { childList: true, characterData: true, subtree: true });
      }),
  );
  assert.equal(lengths.length, 4, 'it grows step by step');
  await picture(page, 'streaming');
  await page.keyboard.press('Escape');
  await idle(page);
  const stopped = await shown(page);
  assert.match(stopped.stats, /^Stopped\. .*tokens\/s/);
  assert.ok(stopped.impression.length > 0, 'what was written stays');
  assert.equal(stopped.error, null);

  await page.keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.getElementById('text').textContent.length > 0);
  await page.click('#stop');
  await idle(page);
});

test('prefill can be cancelled and the engine still works', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server);
  const run = await page.evaluate(async () => {
    const client = window.radllama;
    await client.load('weights/manifest.json');
    const control = new AbortController();
    const onPrefill = (done, total) => done > 0 && done < total && control.abort();
    const findings = 'The heart is normal in size. The lungs are clear. '.repeat(20);
    let deltas = 0;
    const run = { signal: control.signal, onPrefill, onDelta: () => deltas++ };
    const cancelled = await client.impression(findings, {}, run).catch(({ code }) => ({ stop: code, ids: [] }));
    const after = await client.impression('The lungs are clear.', { max_new_tokens: 3 });
    return { cancelled, deltas, after };
  });
  assert.equal(run.cancelled.stop, 'cancelled');
  assert.deepEqual([run.cancelled.ids, run.deltas], [[], 0], 'it ended before the first token');
  assert.ok(run.after.ids.length > 0);
});

test('empty and overlong findings are the engine’s own errors', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, SHORT);
  assert.equal((await write(page)).code, 'empty_findings');
  await picture(page, 'error');
  await page.fill('#findings', 'No acute findings. '.repeat(50_000)); // about 1 MB
  const long = await write(page);
  assert.equal(long.code, 'prompt_too_long');
  assert.match(long.error, /\d+ tokens.*context holds \d+/);
  await page.fill('#findings', 'A NUL \0 in the text.');
  await page.evaluate(() => (document.getElementById('findings').value = 'Lungs \0 clear.'));
  const nul = await write(page);
  assert.ok(nul.code === 'bad_text' || nul.impression.length > 0, 'NUL is refused or written about, never a crash');
  await page.fill('#findings', 'The lungs are clear.');
  const good = await write(page);
  assert.deepEqual([good.code, good.impression.length > 0], [null, true], 'and then it works');
});

test('where WebGPU is missing the page says what to do', async (t) => {
  const { page, server } = await open(t, { webgpu: false });
  await visit(page, server);
  await page.waitForSelector('#unsupported:not([hidden])');
  assert.match((await shown(page)).unsupported, /graphics adapter|no WebGPU/);
  assert.equal(await page.isDisabled('#generate'), true);
  assert.equal(server.weightRequests.length, 0, 'nothing large is fetched for nothing');
  await picture(page, 'unsupported');
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

for (const [device, width, height] of [['phone', 390, 844], ['tablet', 820, 1180], ['desktop', 1280, 860]]) {
  for (const colorScheme of ['light', 'dark']) {
    test(`the page fits a ${device} in ${colorScheme}`, async (t) => {
      const { page, server } = await open(t, { context: { viewport: { width, height }, colorScheme } });
      await visit(page, server);
      await page.selectOption('#sample', { index: 3 });
      await page.waitForFunction(() => document.getElementById('model-status').textContent.includes('MB'));
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `nothing sticks out (${overflow} px)`);
      const small = await page.$$eval('button, select, textarea', (all) =>
        all.filter((e) => e.offsetHeight > 0 && e.offsetHeight < 30).map((e) => e.id));
      assert.deepEqual(small, [], 'controls are large enough to hit');
      await picture(page, `${device}-${colorScheme}`);
    });
  }
}
