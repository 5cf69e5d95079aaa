// The widget with the real engine, in the hosts that it must work in.
import assert from 'node:assert/strict';

import { PATIENCE_MS, open, picture } from './lib/browser.js';
import { STRICT_CSP, axe, hostPage, violations, visitHost } from './lib/hosts.js';
import { TestServer } from './lib/server.js';
import { test } from './lib/test.js';

const SHORT = 'model="/weights/base.json" max-new-tokens="4" beams="1"';
const one = `<radiology-impression ${SHORT} findings="The lungs are clear."></radiology-impression>`;
async function written(frame) {
  const ended = () => ['done', 'error'].includes(document.querySelector('radiology-impression')?.state);
  await frame.waitForFunction(ended, null, { timeout: PATIENCE_MS });
  assert.equal(await frame.locator('[part=error]:not([hidden])').allTextContents().then(String), '');
}
// A page's policy goes with the page; a worker takes its own from its own file's answer.
const strict = (path) => (path.endsWith('.html') ? { 'Content-Security-Policy': STRICT_CSP } : {});
const value = (frame) => frame.evaluate(() => document.querySelector('radiology-impression').value);
const click = (frame) => frame.getByRole('button', { name: 'Write impression' }).click();

test('a strict policy: two widgets write with one engine, and nothing is violated', async (t) => {
  const { page, server } = await open(t, { server: { headers: strict } });
  const violated = await violations(page);
  await visitHost(page, server, one + one);
  await page.waitForTimeout(300);
  const names = () => server.requests.map(({ path }) => path);
  assert.deepEqual(names().filter((path) => !/^\/(host\.html|widget\/|engine\/errors\.js)/.test(path)), [], 'nothing but the widget before its first use');
  const results = await page.evaluate(async () => {
    const all = [...document.querySelectorAll('radiology-impression')];
    const results = await Promise.all(all.map((e) => e.generate()));
    return { results, same: all[0].info === all[1].info, sealed: all[0].info.sealed };
  });
  assert.deepEqual([results.same, results.sealed], [true, true]);
  assert.equal(results.results[0].text, results.results[1].text);
  assert.ok(results.results[0].text.length > 0);
  assert.equal(names().filter((path) => path.endsWith('.wasm')).length, 1, 'one engine');
  assert.deepEqual(violated, []);
  const before = server.requests.length;
  await page.evaluate(() => document.querySelector('radiology-impression').generate());
  assert.equal(server.requests.length, before, 'and writing sends nothing');
});

test('inside a same-origin and a cross-origin iframe', async (t) => {
  const { page, server } = await open(t);
  const other = await TestServer.start({ headers: strict });
  t.after(() => other.close());
  const foreign = other.url.replace('localhost', '127.0.0.1');
  for (const host of [server, other]) host.files.set('/widget.html', hostPage(one));
  const frames = `<iframe title="same" src="/widget.html"></iframe><iframe title="other" src="${foreign}widget.html"></iframe>`;
  server.files.set('/outer.html', hostPage(frames));
  await page.goto(`${server.url}outer.html`);
  const inner = [page.frame({ url: `${server.url}widget.html` }), page.frame({ url: `${foreign}widget.html` })];
  const texts = [];
  for (const frame of inner) {
    await click(frame);
    await written(frame);
    texts.push(await value(frame));
  }
  assert.ok(texts[0].length > 0);
  assert.equal(texts[0], texts[1]);
  assert.ok(other.weightRequests.length > 0, 'the foreign frame fetched from its own origin');
});

test('the example hosts: one tag, and a reporting screen that receives the impression', async (t) => {
  const { page, server } = await open(t, { context: { viewport: { width: 1100, height: 940 } } });
  await page.goto(`${server.url}examples/plain.html`);
  await page.waitForFunction(() => customElements.get('radiology-impression'));
  assert.deepEqual(await axe(page), []);
  await picture(page, 'example-plain');
  for (const link of await page.$$eval('nav a', (all) => all.map(({ href }) => href))) {
    assert.equal((await page.request.get(link)).status(), 200, link);
  }
  await page.goto(`${server.url}examples/reporting/`);
  await page.waitForFunction(() => customElements.get('radiology-impression'));
  await page.evaluate(() => {
    const widget = document.getElementById('assistant');
    widget.model = '/weights/base.json';
    widget.options = { maxNewTokens: 4, beams: 1 };
  });
  assert.deepEqual(await axe(page), []);
  await click(page);
  await written(page);
  await page.getByRole('button', { name: 'Take over' }).click();
  const received = await page.getByRole('textbox', { name: 'Impression' }).inputValue();
  assert.ok(received.length > 0);
  assert.equal(received, await value(page));
  await picture(page, 'example-reporting');
  await page.getByRole('button', { name: 'Sign report' }).click();
  await page.getByText('Signed with').waitFor();
});
