// Accessibility: axe in every state, both themes and on a phone; the keyboard alone; a screen reader's
// live region that does not chatter; reduced motion.
import assert from 'node:assert/strict';

import { runAxe } from './lib/axe.js';
import { idle } from './lib/browser.js';
import { calls, openFake } from './lib/fake.js';
import { test } from './lib/test.js';

const FINDINGS = 'Small right pleural effusion. No pneumothorax.';

/** Fails with what axe finds in the page as it stands. */
async function check(page, state) {
  // One that is cancelled has ended as well.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter(({ effect }) => effect.getTiming().iterations !== Infinity).map(({ finished }) => finished)));
  const { violations, passes } = await runAxe(page);
  const told = violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
  assert.deepEqual(told, [], state);
  assert.ok(passes.length > 15, `${state}: axe looked at something`);
}

for (const [name, context] of Object.entries({
  dark: { colorScheme: 'dark' },
  light: { colorScheme: 'light' },
  phone: { colorScheme: 'dark', viewport: { width: 390, height: 844 } },
  wide: { colorScheme: 'light', viewport: { width: 1920, height: 1080 } },
})) {
  test(`axe finds nothing in any state: ${name}`, async (t) => {
    const { page } = await openFake(t, { context, fake: { loadMs: 1500, msPerWord: 60, stored: 20e6 } });
    await page.waitForSelector('#welcome:not([hidden])');
    await check(page, 'first visit');
    await page.click('#generate');
    await check(page, 'an error');
    await page.fill('#findings', FINDINGS);
    await page.click('#load');
    await page.waitForFunction(() => document.getElementById('amount').textContent.includes('MB'));
    await check(page, 'loading');
    await page.waitForSelector('#model-dot[data-state="ready"]');
    await check(page, 'ready');
    await page.click('#generate');
    await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
    await check(page, 'writing');
    await page.waitForSelector('#edit:not([hidden])');
    await page.evaluate(() => (globalThis.fake.msPerWord = 1));
    await page.fill('#edit', 'Mine.');
    await page.click('#regenerate');
    await page.waitForSelector('#versions:not([hidden])');
    await page.click('#older');
    await check(page, 'edited, one of two versions');
    await page.click('#model-button');
    await page.check('input[name="model"][value="disk"]');
    await page.check('input[name="adapter"][value="disk"]');
    await page.click('#model-apply');
    await check(page, 'the picker, with a problem');
    await page.keyboard.press('Escape');
    await page.focus('#copy');
    await page.keyboard.press('?');
    await check(page, 'help');
    await page.keyboard.press('Escape');
    if (await page.isHidden('#details')) await page.click('#details-button');
    await page.waitForSelector('#delete-all:not([hidden])');
    await check(page, 'details');
    await page.click('#delete-all');
    await check(page, 'a question');
    await page.keyboard.press('Escape');
    if (name !== 'wide') await page.keyboard.press('Escape');
    await page.evaluate(() => globalThis.fake.engine.lose());
    await page.waitForSelector('#alert-action:not([hidden])');
    await page.evaluate(() => (document.getElementById('update').hidden = false));
    await check(page, 'device lost, a new version');
  });
}

test('axe finds nothing where WebGPU is missing', async (t) => {
  const { page } = await openFake(t, { fake: { unsupported: 'It has no WebGPU.' } });
  await page.waitForSelector('#unsupported:not([hidden])');
  await check(page, 'no WebGPU');
});

test('the whole work by keyboard alone', async (t) => {
  const { page, context } = await openFake(t, { fake: { msPerWord: 20, loadMs: 600 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const { keyboard } = page;
  const focus = () => page.evaluate(() => document.activeElement.id);
  await page.waitForSelector('#welcome:not([hidden])');

  await keyboard.press('Tab'); // the skip link is the first stop
  await keyboard.press('Enter');
  assert.equal(await focus(), 'findings');
  await keyboard.press('Alt+Digit2');
  assert.equal(await focus(), 'sample');
  await keyboard.type('Chest X-ray, opacity');
  await page.waitForFunction(() => document.getElementById('findings').value.includes('patchy'));
  await keyboard.press('Alt+Digit1');
  await keyboard.press('Control+End');
  await keyboard.type(' Is it new?'); // `?` writes here
  assert.match(await page.inputValue('#findings'), /Is it new\?$/);
  await keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
  assert.equal(await focus(), 'findings', 'the focus stays where the other hand works');
  await keyboard.press('Escape');
  await idle(page);
  await keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.getElementById('version-text').textContent === '2 of 2');
  await idle(page);

  await keyboard.press('Alt+KeyE');
  assert.equal(await focus(), 'edit');
  await keyboard.press('Control+Home');
  await keyboard.type('Mine. ');
  await keyboard.press('Alt+KeyZ');
  assert.doesNotMatch(await page.inputValue('#edit'), /Mine/);
  await keyboard.press('Alt+KeyZ');
  assert.match(await page.inputValue('#edit'), /^Mine\. /);
  await keyboard.press('Alt+KeyR');
  await keyboard.type('Be brief.');
  await keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('version-text').textContent === '3 of 3');
  await idle(page);
  assert.match((await calls(page, 'impression')).at(-1).instruction, /Be brief\.$/);
  await keyboard.press('Alt+ArrowLeft');
  assert.match(await page.inputValue('#edit'), /^Mine\. /);
  await keyboard.press('Alt+ArrowRight');
  await keyboard.press('Alt+KeyC');
  await page.waitForFunction(() => document.getElementById('toast').textContent === 'Copied');
  await keyboard.press('Alt+KeyI');
  assert.match(await page.inputValue('#findings'), /IMPRESSION:\n1\. New/);
  const download = page.waitForEvent('download');
  await keyboard.press('Alt+KeyS');
  await page.waitForSelector('#export-dialog[open]');
  await keyboard.press('Enter');
  await download;

  await keyboard.press('Alt+KeyM');
  await page.waitForSelector('#model-dialog[open]');
  await keyboard.press('Escape');
  assert.equal(await focus(), 'instruction', 'the focus goes back');
  await keyboard.press('Alt+KeyD');
  assert.equal(await focus(), 'details-title');
  await keyboard.press('Escape');
  assert.equal(await focus(), 'details-button');
  await keyboard.press('?');
  await page.waitForSelector('#help[open]');
  await keyboard.press('Escape');
  assert.equal(await focus(), 'details-button');
});

test('single keys can be switched off, and never act in a field', async (t) => {
  const { page } = await openFake(t);
  await page.waitForSelector('#welcome:not([hidden])');
  await page.focus('#theme');
  await page.keyboard.press('?');
  await page.uncheck('#single-keys');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  assert.equal(await page.isVisible('#help'), false);
  await page.click('#help-button');
  assert.equal(await page.isVisible('#help'), true);
});

test('a screen reader hears the beginning and the end, not every word', async (t) => {
  const { page } = await openFake(t, { fake: { stored: 108_197_745, msPerWord: 15 } });
  await page.waitForSelector('#model-dot[data-state="ready"]');
  await page.fill('#findings', FINDINGS);
  await page.waitForTimeout(200);
  await page.evaluate(() => {
    globalThis.heard = [];
    const live = [...document.querySelectorAll('[aria-live], [role="status"], [role="alert"]')];
    const listen = new MutationObserver((changes) => {
      for (const { target } of changes) if (target.textContent) globalThis.heard.push(target.textContent);
    });
    for (const element of live) listen.observe(element, { childList: true, characterData: true, subtree: true });
    globalThis.inLive = live.some((element) => element.contains(document.getElementById('lines')));
  });
  await page.click('#generate');
  await page.waitForSelector('#edit:not([hidden])');
  await page.waitForTimeout(300);
  const heard = await page.evaluate(() => globalThis.heard);
  assert.deepEqual(heard, ['Writing', 'Impression written, 4 lines']);
  assert.equal(await page.evaluate(() => globalThis.inLive), false);
});

test('with reduced motion nothing moves', async (t) => {
  const { page } = await openFake(t, { context: { reducedMotion: 'reduce' }, fake: { msPerWord: 60, loadMs: 100 } });
  await page.waitForSelector('#welcome:not([hidden])');
  await page.fill('#findings', FINDINGS);
  await page.click('#generate');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
  await page.click('#help-button');
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});
