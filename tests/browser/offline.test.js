// Without a network after the first visit; a new version waits until it is wanted.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { open, visit } from './lib/browser.js';
import { root, www } from './lib/paths.js';
import { test } from './lib/test.js';

const context = { serviceWorkers: 'allow' };

const writeShort = async (page) =>
  page.evaluate(async () => {
    const { ImpressionEngine } = await import('/radllama.js');
    const engine = await ImpressionEngine.load();
    const { text } = await engine.impression('The lungs are clear.', { beams: 1, maxNewTokens: 4 }).result;
    engine.dispose();
    return text;
  });

const controlled = (page) => page.waitForFunction(() => navigator.serviceWorker.controller !== null);

test('after the first visit the page loads and writes with the server gone', async (t) => {
  const { page, server } = await open(t, { context });
  await visit(page, server);
  await controlled(page);
  const before = await writeShort(page);
  await server.close();
  await page.reload(); // the page loads its stored model beside the one that is loaded here
  await page.waitForSelector('#findings');
  assert.equal(await writeShort(page), before);
});

test('a new version waits beside the running one until the page asks for it', async (t) => {
  const { page, server } = await open(t, { context });
  await visit(page, server);
  await controlled(page);
  const worker = readFileSync(join(www, 'sw.js'), 'utf8');
  // Another version: the same files under a list in another order.
  const files = JSON.parse(/const FILES = (\[.*\]);/.exec(worker)[1]);
  server.files.set('/sw.js', Buffer.from(worker.replace(JSON.stringify(files), JSON.stringify(files.toReversed())).replace(/const FILES = .*;/, `const FILES = ${JSON.stringify(files.toReversed())};`)));
  const state = await page.evaluate(async () => {
    const { registerOffline } = await import('/app/offline.js');
    let apply;
    const told = new Promise((resolve) => (apply = resolve));
    await registerOffline({ onUpdate: apply });
    const registration = await navigator.serviceWorker.getRegistration();
    const running = navigator.serviceWorker.controller;
    await registration.update();
    window.applyUpdate = await told;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { waits: registration.waiting !== null, same: navigator.serviceWorker.controller === running };
  });
  assert.deepEqual(state, { waits: true, same: true }, 'nothing changes by itself');
  await Promise.all([page.waitForEvent('load'), page.evaluate(() => window.applyUpdate())]);
  await controlled(page);
  assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).waiting), null);
});

test('a file that is not the version’s is not kept', async (t) => {
  const { page, server } = await open(t, { context });
  const file = readFileSync(join(www, 'app/format.js'));
  server.files.set('/app/format.js', Buffer.concat([file, Buffer.from('\n// tampered with')]));
  await visit(page, server);
  while (!server.requests.some(({ path }) => path === '/sw.js')) await page.waitForTimeout(50);
  await page.waitForTimeout(1500);
  const state = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    return { active: Boolean(registration?.active), controlled: navigator.serviceWorker.controller !== null };
  });
  assert.deepEqual(state, { active: false, controlled: false });
});

test('the folder for static hosts: one version in its own folder, and it works without the server too', async (t) => {
  const { page, server } = await open(t, { context, server: { root: join(root, 'dist') } });
  await visit(page, server);
  await controlled(page);
  const sources = await page.$$eval('script[src], link[href]', (all) => all.map((e) => e.getAttribute('src') ?? e.getAttribute('href')));
  const [version] = sources.find((source) => source.endsWith('/app/main.js')).split('/');
  assert.match(version, /^[0-9a-f]{12}$/);
  const own = server.requests.filter(({ path }) => /\.(js|css|wasm|svg)$/.test(path) && path !== '/sw.js');
  assert.ok(own.length > 10 && own.every(({ path }) => path.startsWith(`/${version}/`)), 'all of it is the version’s');
  await page.evaluate(() => window.radllama.load('weights/base.json').then(() => window.radllama.dispose()));
  await server.close();
  await page.reload();
  await page.waitForFunction(() => document.getElementById('model-status').textContent !== 'Looking for a model');
  assert.match(await page.textContent('#model-status'), /SmolLM2/);
});
