// An adapter in the browser: the native program's ids, swapped and dropped without loading the model
// again, by the page's call and by a manifest.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { baseHash, makeAdapter } from './lib/adapters.js';
import { load, open, visit } from './lib/browser.js';
import { baseModel, sha256 } from './lib/models.js';
import { native } from './lib/native.js';
import { target } from './lib/paths.js';
import { test } from './lib/test.js';

const PROMPT = 'The heart is normal in size. There is a small right pleural effusion.';
const COUNT = 12;
const options = { max_new_tokens: COUNT, ignore_eos: true };
const { manifest } = baseModel();

/** What the native program writes with an adapter. */
function nativeIds(t, promptIds, { config, weights }) {
  const dir = mkdtempSync(join(tmpdir(), 'radllama-adapter-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'adapter_config.json'), config);
  writeFileSync(join(dir, 'adapter_model.safetensors'), weights);
  const ids = ['--prompt-ids', promptIds.join(','), '--max-new-tokens', String(COUNT), '--ignore-eos'];
  return native('base.json', 'generate', ...ids, '--adapter', dir).ids;
}

/** Calls a method of the page's client; `{ result }` or `{ code }`. Buffers cross as base64. */
function call(page, method, ...args) {
  const sent = args.map((arg) =>
    arg?.weights ? { config: arg.config.toString('base64'), weights: arg.weights.toString('base64') } : arg,
  );
  return page.evaluate(
    async ({ method, sent }) => {
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const args = sent.map((arg) =>
        arg?.weights ? { config: bytes(arg.config), weights: bytes(arg.weights) } : arg,
      );
      try {
        return { result: await window.radllama[method](...args) };
      } catch ({ code, message }) {
        return { code, message };
      }
    },
    { method, sent },
  );
}

test('an adapter gives the native ids, and comes and goes without the model being loaded again', async (t) => {
  const { ids: promptIds } = native('base.json', 'tokenize', '--text', PROMPT);
  const [one, other] = [makeAdapter(1), makeAdapter(2, { rank: 3 })];
  const { page, server } = await open(t);
  await visit(page, server, { model: 'none.json' });
  await load(page);
  const generate = async () => (await call(page, 'generate', promptIds, options)).result;
  const base = await generate();

  const requests = server.requests.length;
  const { result: info } = await call(page, 'setAdapter', one);
  assert.equal(info.model.adapter.sha256, sha256(one.weights));
  assert.equal(info.model.adapter.rank, 4);
  const first = await generate();
  assert.equal(first.reused_tokens, 0, 'the cache was another model’s');
  assert.deepEqual(first.ids, nativeIds(t, promptIds, one));
  assert.notDeepEqual(first.ids, base.ids);
  // For `radllama validate --browser-ids`.
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, 'browser-ids.json'), JSON.stringify({ prompt_ids: promptIds, ids: first.ids }));

  await call(page, 'setAdapter', other);
  assert.deepEqual((await generate()).ids, nativeIds(t, promptIds, other), 'swapped');

  // What does not fit is refused by code and changes nothing.
  const cut = { ...one, weights: one.weights.subarray(0, one.weights.length - 100) };
  const foreign = makeAdapter(1, { metadata: { 'radllama.base_sha256': '0'.repeat(64) } });
  for (const [code, wrong] of [
    ['bad_adapter', cut],
    ['unexpected_tensor', makeAdapter(1, { layers: 31 })],
    ['other_base', foreign],
  ]) {
    assert.equal((await call(page, 'setAdapter', wrong)).code, code);
  }
  assert.deepEqual((await generate()).ids, nativeIds(t, promptIds, other), 'still there');
  const own = makeAdapter(1, { metadata: { 'radllama.base_sha256': baseHash(manifest.files) } });
  assert.equal((await call(page, 'setAdapter', own)).code, undefined, 'its own base is right');

  const { result: dropped } = await call(page, 'dropAdapter');
  assert.equal(dropped.model.adapter, null);
  assert.deepEqual((await generate()).ids, base.ids, 'dropped');
  assert.equal(server.requests.length, requests, 'nothing was fetched');
});

test('a manifest’s adapter is loaded, stored and checked with the model', async (t) => {
  const { ids: promptIds } = native('base.json', 'tokenize', '--text', PROMPT);
  const adapter = makeAdapter(3);
  const { page, server } = await open(t);
  const file = (path, bytes) => {
    server.files.set(`/weights/${path}`, bytes);
    return { path, bytes: bytes.length, sha256: sha256(bytes) };
  };
  const entry = {
    config: file('test/adapter_config.json', adapter.config),
    weights: file('test/adapter_model.safetensors', adapter.weights),
  };
  const decoding = { max_new_tokens: 3 };
  const text = (more) => Buffer.from(JSON.stringify({ ...manifest, adapter: entry, decoding, ...more }));
  server.files.set('/weights/adapted.json', text());
  await visit(page, server, { model: 'none.json' });
  const loaded = await load(page, { manifest: 'weights/adapted.json' });
  assert.equal(loaded.error, undefined);
  assert.equal(loaded.info.model.adapter.sha256, entry.weights.sha256);
  const { result } = await call(page, 'generate', promptIds, options);
  assert.deepEqual(result.ids, nativeIds(t, promptIds, adapter));
  const { result: impression } = await call(page, 'impression', PROMPT, { ignore_eos: true });
  assert.equal(impression.ids.length, 3, 'as many tokens as the manifest says');

  const again = await load(page, { manifest: 'weights/adapted.json' });
  assert.equal(again.info.load.networkBytes, 0, 'all of it was stored');

  const wrong = { ...entry, weights: { ...entry.weights, sha256: 'a'.repeat(64) } };
  server.files.set('/weights/wrong.json', text({ adapter: wrong }));
  const { error } = await load(page, { manifest: 'weights/wrong.json' });
  assert.equal(error.code, 'hash_mismatch');
});
