// Bad models: each a typed error that names what is wrong, through the worker and on the page.
import assert from 'node:assert/strict';

import { after } from 'node:test';

import { idle, load, open, picture, ready, shown, visit, write } from './lib/browser.js';
import { baseFile, serveModel } from './lib/models.js';
import { test } from './lib/test.js';

// One browser for all: none of these may spoil anything for the next.
const { page, server } = await open({ after });

const CASES = {
  'a manifest that is not JSON': ['bad_manifest', /manifest/, (server) => {
    server.files.set('/bad/manifest.json', Buffer.from('<!doctype html><p>Not found'));
    return 'bad/manifest.json';
  }],
  'a manifest without files': ['bad_manifest', /manifest/, (server) => {
    server.files.set('/bad/manifest.json', Buffer.from('{"name":"x"}'));
    return 'bad/manifest.json';
  }],
  'a manifest that is not there': ['network', /missing\.json.*404/, () => 'missing.json'],
  'a file that is not there': ['network', /gone\.gguf.*404/, (server) => {
    const address = serveModel(server, { 'gone.gguf': Buffer.from('GGUF....') });
    server.files.delete('/bad/gone.gguf');
    return address;
  }],
  'a file that is not a GGUF': ['not_gguf', /page\.gguf is not a GGUF/, (server) =>
    serveModel(server, { 'page.gguf': Buffer.from('<!doctype html>'.repeat(1000)) })],
  'another hash than the manifest’s': ['hash_mismatch', /b\.gguf does not match its manifest/, (server) =>
    serveModel(server, { 'a.gguf': baseFile(0), 'b.gguf': baseFile(1), 'c.gguf': baseFile(2) }, (manifest) => {
      manifest.files[1].sha256 = 'ab'.repeat(32);
    })],
  'a file that is shorter than the manifest says': ['truncated', /short\.gguf is truncated: \d+ bytes are expected, 5000000 are there/, (server) => {
    const address = serveModel(server, { 'short.gguf': baseFile(0) });
    server.files.set('/bad/short.gguf', baseFile(0).subarray(0, 5_000_000));
    return address;
  }],
};

for (const [name, [code, message, prepare]] of Object.entries(CASES)) {
  test(`${name}: ${code}`, async () => {
    const manifest = prepare(server);
    await visit(page, server, { model: manifest });
    const { error } = await load(page, { manifest });
    assert.equal(error?.code, code, error?.message);
    assert.match(error.message, message);
    await page.fill('#findings', 'The lungs are clear.');
    const onPage = await write(page);
    assert.equal(onPage.code, code);
    assert.match(onPage.error, message);
    if (code === 'hash_mismatch') await picture(page, 'error-hash');
  });
}

test('a GGUF that ends in the middle of its tensors: truncated', async () => {
  const whole = baseFile(0);
  const manifest = serveModel(server, { 'half.gguf': whole.subarray(0, whole.length >> 1) });
  await visit(page, server, { model: manifest });
  const { error } = await load(page, { manifest });
  assert.ok(['truncated', 'split_mismatch'].includes(error?.code), `${error?.code}: ${error?.message}`);
});

test('a server that goes away: network, after several tries, and then it works', async () => {
  server.cutAfter = 0;
  await visit(page, server, { model: 'none.json' });
  const { error } = await load(page);
  assert.equal(error?.code, 'network');
  assert.match(error.message, /\.gguf could not be fetched/);
  server.cutAfter = Infinity;
  assert.equal((await load(page)).error, undefined);
});

test('an error is shown with its code and goes away with the next try', async () => {
  await visit(page, server, { model: 'weights/base.json', max_new_tokens: 4 });
  await ready(page); // the test before stored it
  assert.equal((await write(page)).code, 'empty_findings');
  await page.selectOption('#sample', { index: 1 });
  await page.click('#generate');
  assert.equal((await shown(page)).error, null);
  await idle(page);
});
