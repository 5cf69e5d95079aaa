// The package's own interface (index.d.ts), in the page of a static host.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeAdapter } from './lib/adapters.js';
import { open, visit } from './lib/browser.js';
import { baseModel } from './lib/models.js';
import { native } from './lib/native.js';
import { root, www } from './lib/paths.js';
import { test } from './lib/test.js';

const FINDINGS = 'The heart is normal in size. There is a small right pleural effusion.';
const BASE = 'weights/base.json';

async function start(t, settings) {
  const opened = await open(t, settings);
  await visit(opened.page, opened.server, { model: 'none.json' });
  await opened.page.evaluate(async () => Object.assign(window, await import('/radllama.js')));
  return opened;
}

test('the version is that of the crate and of the package', async (t) => {
  const { page } = await start(t);
  const crate = /^version = "(.+)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))[1];
  assert.equal(await page.evaluate(() => window.version), crate);
});

test('supported() says what there is, or why not', async (t) => {
  const { page, server } = await start(t);
  const here = await page.evaluate(() => window.ImpressionEngine.supported());
  assert.deepEqual([here.supported, here.code, here.storage.available], [true, null, true]);
  assert.equal(typeof here.gpu.maxBindingBytes, 'number');
  assert.equal(server.weightRequests.length, 0);
  const without = await start(t, { webgpu: false });
  const there = await without.page.evaluate(() => window.ImpressionEngine.supported());
  assert.equal(there.supported, false);
  assert.ok(['no_adapter', 'no_webgpu'].includes(there.code) && there.reason.length > 20);
});

test('deltas add up to the result, in camel case, and say where they come from', async (t) => {
  const { page } = await start(t);
  const { events, result, info, progress } = await page.evaluate(async ({ findings, model }) => {
    const progress = [];
    window.engine = await window.ImpressionEngine.load({ model, onProgress: (p) => progress.push(p) });
    const events = [];
    const run = window.engine.impression(findings, { maxNewTokens: 6 });
    for await (const event of run) events.push(event);
    return { events, result: await run.result, info: window.engine.info, progress };
  }, { findings: FINDINGS, model: BASE });
  assert.ok(events.length > 1);
  assert.equal(events.map(({ delta }) => delta).join(''), result.text);
  assert.equal(events.at(-1).text, result.text);
  assert.deepEqual(result.modelSha256, baseModel().manifest.files.map(({ sha256 }) => sha256));
  assert.deepEqual([result.adapterSha256, result.stop, result.tokens.generated], [null, 'length', 6]);
  assert.ok(result.timings.decodeTokensPerS > 0 && result.version === info.version && info.sealed);
  assert.ok(info.gpu.maxBindingBytes > 0 && info.gpu.variants.matvec && info.model.contextTokens > 0);
  assert.ok(progress.every((p) => p.pipelines && p.type === undefined) && progress.at(-1).pushedBytes === progress.at(-1).totalBytes);

  const expected = native('base.json', 'impression', '--findings', FINDINGS, '--max-new-tokens', '6');
  assert.equal(result.text, expected.text ?? expected.impression);

  // Its own errors, by code, through both ways of waiting.
  const codes = await page.evaluate(async () => {
    const code = (promise) => promise.then(() => null, (error) => [error.name, error.code]);
    const iterate = async (run) => { for await (const _ of run); };
    return [
      await code(window.engine.impression('').result),
      await code(iterate(window.engine.impression(' \n'))),
      await code(window.engine.impression('x', { beams: 99 }).result),
      await code(window.engine.impression('x', { beans: 2 }).result),
      await code(window.engine.swapAdapter('no/such/folder')),
      await code(window.ImpressionEngine.load({ model: 'weights/none.json' })),
      await code(window.ImpressionEngine.probe('index.html')),
    ];
  });
  const names = codes.map(([name, code]) => (assert.equal(name, 'RadllamaError'), code));
  assert.deepEqual(names, ['empty_findings', 'empty_findings', 'bad_option', 'bad_option', 'network', 'network', 'bad_manifest']);
});

test('a model and an adapter from disk are read in place, by their bytes, and nothing is asked for', async (t) => {
  const { page, server } = await start(t);
  await page.evaluate(() => {
    const input = document.createElement('input');
    Object.assign(input, { type: 'file', id: 'own', multiple: true });
    document.body.append(input);
  });
  const { manifest } = baseModel();
  const paths = manifest.files.map(({ path }) => join(www, 'weights', path));
  await page.setInputFiles('#own', paths.toReversed()); // in any order
  const adapter = makeAdapter(1);
  const loaded = page.evaluate(async ({ findings, config, weights }) => {
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const model = [...document.getElementById('own').files];
    const engine = await window.ImpressionEngine.load({ model, template: 'chatml' });
    const before = (await engine.impression(findings, { maxNewTokens: 4 }).result).text;
    const { model: info } = await engine.swapAdapter({ config: bytes(config), weights: new Blob([bytes(weights)]) });
    const adapted = await engine.impression(findings, { maxNewTokens: 4 }).result;
    const { model: back } = await engine.swapAdapter(null);
    return { before, info, adapted, back, stored: await window.ImpressionEngine.stored() };
  }, { findings: FINDINGS, config: adapter.config.toString('base64'), weights: adapter.weights.toString('base64') });
  const { before, info, adapted, back, stored } = await loaded;
  const expected = native('base.json', 'impression', '--findings', FINDINGS, '--max-new-tokens', '4');
  assert.equal(before, expected.text ?? expected.impression);
  assert.deepEqual(info.sha256, manifest.files.map(({ sha256 }) => sha256), 'hashed as it was read');
  assert.equal(info.adapter.rank, 4);
  assert.equal(adapted.adapterSha256, info.adapter.sha256);
  assert.equal(back.adapter, null);
  assert.deepEqual(stored, [], 'nothing of it is kept');
  assert.equal(server.weightRequests.length, 0);

  await page.setInputFiles('#own', paths.slice(0, 1));
  const code = await page.evaluate(() =>
    window.ImpressionEngine.load({ model: document.getElementById('own').files[0] }).catch((error) => error.code));
  assert.equal(code, 'split_mismatch');
});

test('stored models are listed by name and removed one by one, what they share last', async (t) => {
  const { page } = await start(t);
  const lists = await page.evaluate(async () => {
    const { ImpressionEngine } = window;
    const lists = [];
    const list = async () => lists.push(await ImpressionEngine.stored());
    (await ImpressionEngine.load({ model: 'weights/base.json' })).dispose();
    (await ImpressionEngine.load()).dispose();
    await list();
    await ImpressionEngine.deleteStored(lists[0].find(({ sha256 }) => sha256.length === 3));
    await list();
    await ImpressionEngine.deleteStored();
    await list();
    return lists;
  });
  assert.deepEqual(lists.map((list) => list.length), [2, 1, 0]);
  assert.ok(lists[0].every((model) => model.storedBytes === model.totalBytes));
  assert.equal(lists[1][0].storedBytes, lists[1][0].totalBytes, 'the files that both use are still there');
});

test('cancelling takes less than a second in load, prefill and decode', async (t) => {
  const { page, server } = await start(t, { server: { bytesPerSecond: 20_000_000 } });
  const waits = await page.evaluate(async ({ model }) => {
    const waits = {};
    const timed = async (name, begin) => {
      const control = new AbortController();
      let since;
      await begin(control.signal, () => ((since ??= performance.now()), control.abort()));
      waits[name] = performance.now() - since;
    };
    await timed('load', (signal, cancel) =>
      window.ImpressionEngine.load({ model, signal, onProgress: (p) => p.loadedBytes > 5e6 && cancel() }).catch(() => {}));
    const engine = await window.ImpressionEngine.load({ model });
    const long = 'The heart is normal in size. The lungs are clear. '.repeat(20);
    await timed('prefill', (signal, cancel) =>
      engine.impression(long, { signal, onPrefill: (done) => done > 0 && cancel() }).result.catch(() => {}));
    await timed('decode', async (signal, cancel) => {
      const run = engine.impression('Clear lungs.', { signal, maxNewTokens: 200 });
      for await (const _ of run) cancel();
      return run.result;
    });
    return waits;
  }, { model: BASE });
  server.bytesPerSecond = Infinity;
  for (const [name, ms] of Object.entries(waits)) {
    t.diagnostic(`${name}: ${ms.toFixed(0)} ms`);
    assert.ok(ms < 3000, `${name}: ${ms.toFixed(0)} ms`); // a second, and room for a busy machine
  }
});

test('two tabs load and write side by side', async (t) => {
  const { page, server, context } = await start(t);
  const other = await context.newPage();
  await visit(other, server, { model: 'none.json' });
  const both = [page, other].map((tab) => tab.evaluate(async (findings) => {
    const { ImpressionEngine } = await import('/radllama.js');
    const engine = await ImpressionEngine.load({ model: 'weights/base.json' });
    return (await engine.impression(findings, { maxNewTokens: 4 }).result).text;
  }, FINDINGS));
  const [one, two] = await Promise.all(both);
  assert.ok(one.length > 0);
  assert.equal(one, two);
  const bytes = server.weightRequests.reduce((sum, { range }) => {
    const [from, to] = range.match(/\d+/g).map(Number);
    return sum + to + 1 - from;
  }, 0);
  assert.equal(bytes, baseModel().bytes, 'the model is fetched once for both');
});
