// Nothing is sent: every request of the browser is recorded, and what the sealed worker tries fails.
import assert from 'node:assert/strict';

import { changeWorkers, load, open, sealedWorker, visit } from './lib/browser.js';
import { test } from './lib/test.js';

const IMPRESSIONS = 20;

test(`from the load to ${IMPRESSIONS} impressions no request is made`, async (t) => {
  const { page, server, context } = await open(t, { context: { serviceWorkers: 'allow' } });
  const requests = [];
  context.on('request', (request) => requests.push(request.url()));
  await visit(page, server, { model: 'none.json' });
  await page.evaluate(async () => {
    const { ImpressionEngine } = await import('/radllama.js');
    window.engine = await ImpressionEngine.load();
  });
  await page.evaluate(() => navigator.serviceWorker.ready);
  assert.ok(requests.some((url) => url.endsWith('.gguf')), 'the recorder sees what the workers ask for');
  await page.waitForTimeout(1000); // what belongs to the load is over
  const [seen, served] = [requests.length, server.requests.length];

  const texts = await page.evaluate(async (count) => {
    const texts = [];
    for (let i = 0; i < count; i++) {
      const run = window.engine.impression(`Small nodule of ${i + 2} mm. Secret ${i}.`, { beams: 1, maxNewTokens: 3 });
      texts.push((await run.result).text);
    }
    return texts;
  }, IMPRESSIONS);
  assert.equal(texts.length, IMPRESSIONS);
  await page.waitForTimeout(1000);
  assert.deepEqual(requests.slice(seen), [], 'the browser asked for nothing');
  assert.deepEqual(server.requests.slice(served).map(({ path }) => path), [], 'the server heard nothing');
  // Nothing that could connect is left but the page, whose policy forbids it.
  await sealedWorker(page);
  const kinds = page.workers().map((worker) => worker.url());
  assert.ok(kinds.length === 1 && kinds[0].startsWith('blob:'), `only the sealed worker runs: ${kinds}`);
});

/** Tries every way out of a worker; which were open. */
const tryAll = async () => {
  const { origin } = self;
  const event = (make, good, bad) => new Promise((resolve, reject) => {
    const object = make();
    object[good] = resolve;
    object[bad] = () => reject(new Error('refused'));
    setTimeout(() => reject(new Error('silent')), 2000);
  });
  const ways = {
    fetch: () => fetch(`${origin}/leak`),
    'fetch of data': () => fetch('data:,'),
    import: () => import(`${origin}/leak.js`),
    XMLHttpRequest: () => event(() => {
      const request = new XMLHttpRequest();
      request.open('GET', `${origin}/leak`);
      request.send();
      return request;
    }, 'onload', 'onerror'),
    WebSocket: () => event(() => new WebSocket(origin.replace('http', 'ws')), 'onopen', 'onerror'),
    EventSource: () => event(() => new EventSource(`${origin}/leak`), 'onopen', 'onerror'),
    Worker: () => event(() => new Worker(`${origin}/leak.js`), 'onmessage', 'onerror'),
    eval: async () => (0, eval)('1'),
  };
  const open = [];
  for (const [name, way] of Object.entries(ways)) {
    try {
      await way();
      open.push(name);
    } catch {
      // As it should be.
    }
  }
  return open;
};

test('the worker that reads reports has no way out, and says so', async (t) => {
  const { page, server } = await open(t);
  server.files.set('/leak.js', Buffer.from('postMessage(1)'));
  await visit(page, server, { model: 'none.json' });
  const { info } = await load(page);
  assert.ok(info);
  const sealed = await sealedWorker(page);
  assert.deepEqual(await sealed.evaluate(tryAll), []);
  assert.deepEqual(server.requests.filter(({ path }) => path.includes('leak')), []);
  const about = await page.evaluate(() => window.radllama.about);
  assert.equal(about.sealed, true);
});

test('a browser that fails to start a worker is asked again', async (t) => {
  const { page, server, context } = await open(t);
  await context.addInitScript(() => {
    if (window === top) return;
    const { Worker } = window;
    // The first that a frame asks for never runs.
    window.Worker = function (url, options) {
      const first = !top.failed;
      top.failed = true;
      return new Worker(first ? URL.createObjectURL(new Blob(['}'])) : url, options);
    };
  });
  await visit(page, server, { model: 'none.json' });
  const { failed, text } = await page.evaluate(async () => {
    const { ImpressionEngine } = await import('/radllama.js');
    window.engine = await ImpressionEngine.load({ model: 'weights/base.json' });
    const run = window.engine.impression('Clear lungs.', { beams: 1, maxNewTokens: 3 });
    return { failed: window.failed, text: (await run.result).text };
  });
  assert.ok(failed, 'one did not start');
  assert.ok(text.length > 0);
  assert.equal(await page.evaluate(() => window.engine.info.sealed), true);
});

test('a page whose policy allows no blob: worker still works, and is told that it is not sealed', async (t) => {
  const { page, server, context } = await open(t);
  await context.route(/engine\/seal\.js$/, async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replaceAll('worker-src blob:', "worker-src 'none'");
    await route.fulfill({ response, body });
  });
  await visit(page, server, { model: 'none.json' });
  const { info, error } = await load(page);
  assert.equal(error, undefined);
  assert.ok(info);
  assert.equal(await page.evaluate(() => window.radllama.about.sealed), false);
  const { text } = await page.evaluate(() => window.radllama.impression('Clear lungs.', { beams: 1, max_new_tokens: 3 }));
  assert.ok(text.length > 0);
});

test('a GPU that is lost is told at once, and the model can be loaded again', async (t) => {
  const { page, server, context } = await open(t);
  await changeWorkers(context, () => {
    if (typeof GPUAdapter === 'undefined') return;
    const requestDevice = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      return (self.lastDevice = await requestDevice.call(this, descriptor));
    };
  });
  await visit(page, server, { model: 'none.json' });
  await page.evaluate(async () => {
    const { ImpressionEngine } = await import('/radllama.js');
    window.load = () => ImpressionEngine.load({ model: 'weights/base.json' });
    window.engine = await window.load();
  });
  const sealed = await sealedWorker(page);
  await sealed.evaluate(() => self.lastDevice.destroy());
  const code = await page.evaluate(async () => (await window.engine.lost).code);
  assert.equal(code, 'device_lost');
  const { text } = await page.evaluate(async () => {
    window.engine.dispose();
    window.engine = await window.load();
    return window.engine.impression('Clear lungs.', { maxNewTokens: 2 }).result;
  });
  assert.ok(text.length > 0);
});
