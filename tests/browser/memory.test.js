// The model never sits in wasm memory: it stays small, whatever the model's size.
import assert from 'node:assert/strict';

import { load, open, visit } from './lib/browser.js';
import { largeModel } from './lib/large-model.js';
import { baseModel } from './lib/models.js';
import { test } from './lib/test.js';

const MIB = 1024 * 1024;

test('wasm memory stays under 128 MiB and does not grow with the model', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server, { model: 'none.json' });
  const small = await load(page);
  assert.equal(small.error, undefined);
  await visit(page, server, { model: 'none.json' }); // a fresh worker, a fresh memory

  const { manifest, bytes } = await largeModel(server);
  assert.ok(bytes >= 9.5 * baseModel().bytes, 'it is ten times larger');
  // A short context: the KV cache of so many layers is not what is measured.
  const large = await load(page, { manifest, cache: false, contextTokens: 256 });
  assert.equal(large.error, undefined);
  const [a, b] = [small, large].map(({ info }) => info.load.wasmBytes / MIB);
  t.diagnostic(`wasm memory: ${a.toFixed(1)} MiB for ${(baseModel().bytes / MIB).toFixed(0)} MiB, ${b.toFixed(1)} MiB for ${(bytes / MIB).toFixed(0)} MiB`);
  assert.ok(a < 128 && b < 128);
  assert.ok(b <= a * 1.25 + 4, 'ten times the model is not ten times the memory');
});
