// Download, cache, cancel and repair, against a server that misbehaves.
import assert from 'node:assert/strict';

import { changeWorkers, load, open, picture, ready, shown, visit, write } from './lib/browser.js';
import { baseModel } from './lib/models.js';
import { test } from './lib/test.js';

const { manifest, bytes: modelBytes } = baseModel();
const PIECE = 2 * 1024 * 1024;

/** A page whose model does not load by itself. */
async function start(t, server) {
  const opened = await open(t, { server });
  await visit(opened.page, opened.server, { model: 'none.json' });
  return opened;
}

/** Stored bytes of the model. */
const storedBytes = (page) =>
  page.evaluate(async () => (await window.radllama.probe('weights/base.json')).storedBytes);

test('progress counts every byte, over several connections', async (t) => {
  const { page, server } = await start(t);
  const { info, progress } = await load(page);
  assert.equal(info.load.networkBytes, modelBytes);
  assert.equal(info.load.cachedBytes, 0);
  const loads = progress.filter(({ phase }) => phase !== 'start');
  assert.ok(loads.length >= 3, 'progress is told more than once');
  for (const key of ['loadedBytes', 'pushedBytes']) {
    const values = loads.map((p) => p[key]);
    assert.deepEqual(values, values.toSorted((a, b) => a - b), `${key} never goes back`);
    assert.equal(values.at(-1), modelBytes, `${key} ends at the whole`);
  }
  assert.ok(loads.every((p) => p.pushedBytes <= p.loadedBytes && p.loadedBytes <= modelBytes));
  assert.ok(server.weightRequests.length > manifest.files.length, 'byte ranges are fetched side by side');
  assert.ok(server.weightRequests.every(({ range }) => /^bytes=\d+-\d+$/.test(range)));
  const first = server.weightRequests.slice(0, manifest.files.length);
  assert.ok(first.every(({ range }) => range.startsWith('bytes=0-')), 'every file’s head comes first');
  assert.equal(new Set(first.map(({ path }) => path)).size, manifest.files.length);
  assert.ok(loads.some((p) => p.pushedBytes < modelBytes && p.pipelines.total > 0), 'the device is tested meanwhile');
});

test('the second load comes from the cache, without a request for weights', async (t) => {
  const { page, server, context } = await start(t);
  await load(page);
  server.requests.length = 0;
  await page.close();
  const again = await context.newPage();
  await visit(again, server, { model: 'none.json' });
  const { info } = await load(again);
  assert.equal(info.load.cachedBytes, modelBytes);
  assert.equal(info.load.networkBytes, 0);
  assert.deepEqual(server.weightRequests, []);
  assert.equal(await storedBytes(again), modelBytes);

  // The page itself loads what is stored, unasked.
  await visit(again, server, { model: 'weights/base.json' });
  await ready(again);
  assert.deepEqual(server.weightRequests, []);
  await again.click('#details-button');
  await again.click('#delete-all');
  await again.click('#confirm-yes');
  await again.waitForSelector('#delete-all', { state: 'hidden' });
  assert.equal(await storedBytes(again), 0, 'and removes it when told to');
});

test('a download that is cut again and again resumes at the byte it reached', async (t) => {
  const { page, server } = await start(t, { cutAfter: 3_000_000, cuts: 6 });
  const { info } = await load(page);
  assert.equal(server.cuts, 0, 'the cuts happened');
  assert.equal(info.load.networkBytes, modelBytes, 'no byte was counted twice');
  const starts = server.weightRequests.map(({ range }) => Number(/\d+/.exec(range)[0]));
  assert.ok(starts.some((start) => start % PIECE !== 0), 'a request began within a piece');
});

test('a closed page leaves its pieces, and the next one fetches only the rest', async (t) => {
  const { page, server, context } = await start(t, { bytesPerSecond: 6_000_000 });
  const loading = load(page).catch(() => {});
  const deadline = Date.now() + 60_000;
  while ((await storedBytes(page)) <= 2 * PIECE && Date.now() < deadline);
  await page.close();
  await loading;
  server.bytesPerSecond = Infinity;
  const again = await context.newPage();
  await visit(again, server, { model: 'none.json' });
  const stored = await storedBytes(again);
  assert.ok(stored > 2 * PIECE && stored < modelBytes, `${stored} bytes are stored`);
  server.requests.length = 0;
  const { info } = await load(again);
  assert.equal(info.load.cachedBytes, stored);
  assert.equal(info.load.networkBytes, modelBytes - stored);
});

test('a server without byte ranges is read in one go, even when it cuts', async (t) => {
  const { page, server } = await start(t, { ranges: false, cutAfter: 9_000_000, cuts: 1 });
  const { info, progress } = await load(page);
  assert.equal(server.cuts, 0);
  assert.equal(info.load.networkBytes, modelBytes);
  assert.ok(progress.every((p) => (p.loadedBytes ?? 0) <= modelBytes));
});

for (const [name, break_] of [
  ['no storage', () => (StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('', 'SecurityError')))],
  ['full storage', () => (FileSystemSyncAccessHandle.prototype.truncate = () => { throw new DOMException('', 'QuotaExceededError'); })],
  ['storage that fills up', () => {
    const write = FileSystemSyncAccessHandle.prototype.write;
    let left = 3;
    FileSystemSyncAccessHandle.prototype.write = function (bytes, at) {
      if (bytes.length > 1e6 && left-- <= 0) throw new DOMException('', 'QuotaExceededError');
      return write.call(this, bytes, at);
    };
  }],
]) {
  test(`with ${name} the model streams past the cache`, async (t) => {
    const { page, server, context } = await open(t);
    await changeWorkers(context, break_);
    await visit(page, server, { model: 'none.json' });
    const { info, error } = await load(page);
    assert.equal(error, undefined);
    assert.equal(info.load.networkBytes, modelBytes);
  });
}

test('a load can be cancelled, keeps what it has, and starts again', async (t) => {
  const { page, server } = await start(t, { bytesPerSecond: 8_000_000 });
  const cancelled = await load(page, { cancelWhen: 'p.loadedBytes > 16e6' });
  assert.equal(cancelled.error.code, 'cancelled');
  assert.ok(cancelled.progress.at(-1).loadedBytes < modelBytes);
  const requests = server.requests.length;
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(server.requests.length, requests, 'no request follows a cancel');
  server.bytesPerSecond = Infinity;
  const { info } = await load(page);
  assert.ok(info.load.cachedBytes >= PIECE, 'what had come is used');
  assert.equal(info.load.cachedBytes + info.load.networkBytes, modelBytes);
});

test('the page shows the download, and Stop ends it', async (t) => {
  const { page, server } = await open(t, { server: { bytesPerSecond: 3_000_000 } });
  await visit(page, server, { model: 'weights/base.json', max_new_tokens: 4 });
  await page.selectOption('#sample', { index: 1 });
  const ended = write(page);
  await page.waitForFunction(() => / MB of .*MB\/s/.test(document.getElementById('amount').textContent));
  const value = await page.evaluate(() => document.getElementById('bar').value);
  assert.ok(value > 0 && value < 1);
  await picture(page, 'downloading');
  await page.keyboard.press('Escape');
  const { stats, error, status } = await ended;
  assert.deepEqual([stats, error, status], ['Stopped.', null, 'No model loaded']);
  server.bytesPerSecond = Infinity;
  assert.equal((await write(page)).error, null);
  await ready(page);
});

test('a damaged cache entry is noticed and fetched anew', async (t) => {
  const { page, server } = await start(t);
  await load(page);
  const last = manifest.files.at(-1);
  await page.evaluate(async ({ sha256 }) => {
    const root = await navigator.storage.getDirectory();
    for await (const [, dir] of root.entries()) {
      const writable = await (await dir.getFileHandle(`${sha256}.data`)).createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: 100_000, data: new Uint8Array([1, 2, 3, 4, 5]) });
      await writable.close();
    }
  }, last);
  server.requests.length = 0;
  const { info, error } = await load(page);
  assert.equal(error, undefined);
  assert.equal(info.load.networkBytes, last.bytes, 'the damaged file came from the network again');
  server.requests.length = 0;
  const good = await load(page);
  assert.equal(good.info.load.networkBytes, 0, 'and is good now');
  const tested = good.progress.filter(({ pipelines }) => pipelines).map(({ pipelines }) => pipelines.done);
  assert.equal(Math.min(...tested), Math.max(...tested), 'a device that was tested is not tested again');
});
