// The guard on the page, with a double of it: links, flags, edits, the question after acute findings.
import assert from 'node:assert/strict';

import { runAxe } from './lib/axe.js';
import { picture, write } from './lib/browser.js';
import { calls, openFake } from './lib/fake.js';
import { FINDINGS, GUARD, IMPRESSION } from './lib/flagged.js';
import { test } from './lib/test.js';

/** A page with an impression that has flags. */
async function written(t, { fake = {}, findings = FINDINGS, ...options } = {}) {
  const settings = { stored: 108_197_745, msPerWord: 1, text: IMPRESSION, guard: GUARD, ...fake };
  const opened = await openFake(t, { fake: settings, ...options });
  opened.context.setDefaultTimeout(15_000);
  await opened.page.waitForSelector('#model-dot[data-state="ready"]');
  await opened.page.fill('#findings', findings);
  await write(opened.page);
  await checked(opened.page);
  return opened;
}

/** Waits until what is shown has been read. */
const checked = (page) => page.waitForTimeout(350);
const notes = (page) => page.locator('#notes li').allInnerTexts().then((all) => all.map((text) => text.replaceAll(/\s*\n\s*/g, ' | ')));
const count = (page) => page.evaluate(() => (document.getElementById('flag-count').hidden ? null : document.getElementById('flag-text').textContent));
const linked = (page) => page.locator('.lines li.linked').allTextContents();
const marked = (page, kind) => page.locator(`.mirror mark.${kind}`).allTextContents().then((all) => all.join(''));
const focus = (page) => page.evaluate(() => [document.activeElement.id, document.activeElement.value?.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)]);
const told = (page) => page.evaluate(() => window.radllama.writing.communication());
const RIGHT = 'Right tension pneumothorax with shift of the mediastinum to the left.';

for (const colorScheme of ['dark', 'light']) {
  test(`every severity is shown beside its line, by icon, word and underline, and axe finds nothing: ${colorScheme}`, async (t) => {
    const { page } = await written(t, { context: { colorScheme, viewport: { width: 1440, height: 900 } } });
    assert.deepEqual(await notes(page), [
      'Check | Side | Tension pneumothorax: "left", but the findings name the other side.',
      'Check | Measurement | The findings have no such measurement.',
      'Consider | Comparison | Compared with an examination that the findings do not know.',
      'Consider | Not in the findings | The findings do not mention pulmonary edema.',
      'Reminder | Left out | The findings have mediastinal shift, the impression does not.',
    ]);
    assert.equal(await count(page), '2 to check');
    const underlined = (severity) => page.locator(`#lines mark.${severity}`).allTextContents();
    assert.deepEqual(await underlined('hard'), ['Left tension', '12 mm']);
    assert.deepEqual(await underlined('soft'), ['stable', 'Pulmonary edema']);
    const kinds = await page.locator('#lines .marker').evaluateAll((all) => all.map(({ dataset }) => dataset.kind));
    assert.deepEqual(kinds, ['hard', 'supported', 'hard', 'soft']);
    assert.match(await page.locator('.marker').nth(1).getAttribute('aria-label'), /^Line 2\. supported by 1 sentence of the findings$/);
    assert.equal(await page.locator('#recommendation-lines .marker').count(), 0, 'a recommendation needs no support');
    const looks = await page.locator('#notes li').evaluateAll((all) => all.map((li) => [li.querySelector('path').getAttribute('d'), getComputedStyle(li.querySelector('b')).color]));
    assert.equal(new Set(looks.map(([icon]) => icon)).size, 3);
    assert.equal(new Set(looks.map(([, color]) => color)).size, 3);
    // Each beside its line, or right below the one before.
    const tops = await page.evaluate(() => {
      const top = (element) => Math.round(element.getBoundingClientRect().top);
      return [[...document.querySelectorAll('#notes li')].map(top), [...document.querySelectorAll('#lines li')].map(top)];
    });
    assert.equal(tops[0][0], tops[1][0]);
    assert.ok(tops[0].every((top, at) => at === 0 || top > tops[0][at - 1]));
    await page.keyboard.press('Alt+KeyN');
    await checked(page);
    const { violations } = await runAxe(page);
    assert.deepEqual(violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)), []);
    await picture(page, colorScheme === 'dark' ? 'guard' : 'guard-light');
  });
}

test('on a phone the flags stand below the lines and name them', async (t) => {
  const { page } = await written(t, { context: { viewport: { width: 390, height: 844 } } });
  const texts = await notes(page);
  assert.match(texts[1], /^Check \| Measurement \| Line 3 \|/);
  const { violations } = await runAxe(page);
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), []);
  await picture(page, 'guard-phone');
});

test('a line without support is shown as such, quietly', async (t) => {
  const { page } = await written(t, { fake: { text: 'Normal chest. Small left pleural effusion.', guard: { ...GUARD, flags: [] } } });
  const kinds = await page.locator('#lines .marker').evaluateAll((all) => all.map(({ dataset, ariaLabel }) => [dataset.kind, ariaLabel]));
  assert.deepEqual(kinds[0], ['unsupported', 'Line 1. no sentence of the findings supports it']);
  assert.equal(kinds[1][0], 'supported');
  assert.deepEqual([await count(page), await page.isVisible('#notes')], [null, false]);
});

test('flags appear while lines are being written', async (t) => {
  const opened = await openFake(t, { fake: { stored: 108_197_745, msPerWord: 40, text: IMPRESSION, guard: GUARD } });
  const { page } = opened;
  await page.waitForSelector('#model-dot[data-state="ready"]');
  await page.fill('#findings', FINDINGS);
  await page.click('#generate');
  await page.waitForSelector('#notes li');
  assert.equal(await page.isEnabled('#stop'), true, 'it is still writing');
  assert.deepEqual(await page.locator('#lines mark.hard').allTextContents(), ['Left tension']);
  assert.ok(!(await notes(page)).some((text) => text.startsWith('Reminder')), 'what is left out is said at the end');
  await page.waitForSelector('#edit:not([hidden])');
  await checked(page);
  assert.equal((await notes(page)).length, 5);
});

test('lines and findings highlight each other, by pointer, click and caret', async (t) => {
  const { page } = await written(t);
  const line = (at) => page.locator('#lines li').nth(at);
  const hover = async (at) => {
    const box = await line(at).boundingBox();
    await page.mouse.move(box.x + 80, box.y + box.height / 2);
  };
  await hover(1);
  assert.equal(await marked(page, 'support'), 'Small left pleural effusion.');
  assert.deepEqual(await linked(page), ['Small left pleural effusion.']);
  await hover(0);
  assert.equal(await marked(page, 'conflict'), RIGHT, 'what says otherwise');
  await page.mouse.move(5, 5);
  assert.deepEqual(await linked(page), []);
  await page.locator('.marker').nth(1).click();
  await page.mouse.move(5, 5);
  assert.equal(await marked(page, 'support'), 'Small left pleural effusion.', 'a click stays');

  await page.focus('#findings');
  const caret = (words) => page.evaluate((at) => document.getElementById('findings').setSelectionRange(at, at), FINDINGS.indexOf(words) + 2);
  await caret('8 mm nodule');
  await page.waitForFunction(() => document.querySelectorAll('li.linked').length === 1);
  assert.match((await linked(page))[0], /^12 mm nodule/);
  assert.equal(await marked(page, 'support'), '8 mm nodule in the right upper lobe.');
  await caret('No focal');
  await page.waitForFunction(() => document.querySelectorAll('li.linked').length === 0);
});

for (const [name, findings] of Object.entries({
  'left to right': `${'Lungs are clear without consolidation. '.repeat(120)}\n\n${FINDINGS}\n`,
  'right to left': `${'لا يوجد استرواح صدري في الصورة. '.repeat(120)}\n${FINDINGS}\n`,
})) {
  test(`the layer under the findings stays aligned when they scroll and change their size: ${name}`, async (t) => {
    const { page } = await written(t, { findings });
    const box = await page.locator('#lines li').nth(1).boundingBox();
    const look = () => page.evaluate(() => {
      const [field, text] = [document.getElementById('findings'), document.querySelector('.mirror-text')];
      const place = text.getBoundingClientRect();
      return {
        heights: [text.offsetHeight, field.scrollHeight], widths: [place.width, field.clientWidth],
        top: Math.round(place.top - field.getBoundingClientRect().top + field.scrollTop),
        left: Math.round(place.left - field.getBoundingClientRect().left - field.clientLeft),
        directions: [getComputedStyle(text).direction, getComputedStyle(field).direction],
      };
    });
    for (const viewport of [{ width: 1280, height: 860 }, { width: 1000, height: 700 }, { width: 1500, height: 900 }]) {
      await page.setViewportSize(viewport);
      await page.mouse.move(5, 5);
      const place = await page.locator('#lines li').nth(1).boundingBox();
      await page.mouse.move(place.x + 80, place.y + 5);
      await page.evaluate(() => (document.getElementById('findings').scrollTop = 333));
      await page.waitForTimeout(100);
      const { heights, widths, top, left, directions } = await look();
      assert.ok(heights[1] > 500 && Math.abs(heights[0] - heights[1]) <= 1, `${heights}`);
      assert.equal(widths[0], widths[1]);
      assert.deepEqual([top, left], [0, 0]);
      assert.equal(directions[0], directions[1]);
    }
    assert.ok(box);
    await page.locator('.marker').nth(1).click();
    await page.waitForFunction(() => {
      const mark = document.querySelector('.mirror mark').getBoundingClientRect();
      const field = document.getElementById('findings').getBoundingClientRect();
      return mark.top >= field.top && mark.bottom <= field.bottom;
    });
  });
}

test('a mended line loses its flags, findings and prior are read again, a restored text has them back', async (t) => {
  const { page } = await written(t, { context: { viewport: { width: 1440, height: 900 } } });
  const mended = (await page.inputValue('#edit')).replace('Left tension', 'Right tension').replace('12 mm', '8 mm');
  await page.fill('#edit', mended);
  await page.waitForFunction(() => document.getElementById('flag-text').textContent === '2 to consider');
  assert.equal((await notes(page)).length, 3);
  await page.keyboard.press('Alt+KeyP');
  await page.fill('#prior', 'Chest radiograph of May.');
  await page.waitForFunction(() => globalThis.fake.calls.at(-1).prior === 'Chest radiograph of May.');
  await page.keyboard.press('Alt+KeyZ');
  await page.waitForFunction(() => document.getElementById('flag-text').textContent === '2 to check');
  await page.fill('#findings', 'Normal.\n\nIMPRESSION:\nwhat stood here');
  await page.waitForFunction(() => globalThis.fake.calls.at(-1).findings === 'Normal.');
  assert.ok(!(await page.isVisible('#acute')), 'no acute finding any more');
  // Findings that are taken away for the next report leave nothing to hold the lines against.
  await page.fill('#findings', '');
  await page.waitForFunction(() => document.getElementById('flag-count').hidden);
  await page.fill('#findings', FINDINGS);
  await page.waitForFunction(() => !document.getElementById('flag-count').hidden);
});

test('flags and findings are reached by keyboard alone, and a screen reader hears of them once', async (t) => {
  const { page } = await openFake(t, { fake: { stored: 108_197_745, msPerWord: 2, text: IMPRESSION, guard: GUARD } });
  const { keyboard } = page;
  await page.waitForSelector('#model-dot[data-state="ready"]');
  await page.fill('#findings', FINDINGS);
  await page.waitForTimeout(200);
  await page.evaluate(() => {
    globalThis.heard = [];
    const listen = new MutationObserver(([{ target }]) => target.textContent && globalThis.heard.push(target.textContent));
    listen.observe(document.getElementById('say'), { childList: true });
  });
  const heard = () => page.evaluate(() => globalThis.heard.splice(0));
  await keyboard.press('Control+Enter');
  await page.waitForSelector('#edit:not([hidden])');
  await checked(page);
  assert.deepEqual(await heard(), ['Writing', 'Impression written, 5 lines, 2 to check']);

  await keyboard.press('Alt+KeyN');
  assert.deepEqual(await focus(page), ['edit', 'Left tension']);
  await keyboard.press('Alt+KeyN');
  assert.deepEqual(await focus(page), ['edit', '12 mm']);
  await checked(page);
  assert.match((await heard()).at(-1), /^Flag 2 of 5, Line 3\. Check, Measurement: the findings/);
  await keyboard.press('Alt+KeyB');
  await keyboard.press('Alt+KeyB');
  await checked(page);
  assert.match((await heard()).at(-1), /^Flag 5 of 5\. Reminder, Left out/);
  assert.equal(await marked(page, 'conflict'), RIGHT, 'what was left out');
  await keyboard.press('Alt+KeyN');
  await keyboard.press('Alt+KeyJ');
  assert.deepEqual(await focus(page), ['findings', RIGHT]);
  await keyboard.press('Alt+KeyJ');
  assert.equal((await focus(page))[0], 'edit');
  await checked(page);
  assert.deepEqual((await heard()).slice(-2), [RIGHT, 'Line 1']);
  await keyboard.press('Alt+KeyN');
  await keyboard.type('Right tension');
  await checked(page);
  assert.deepEqual((await heard()).slice(-1), ['1 to check']);
  await page.focus('#theme');
  await keyboard.press('?');
  assert.match(await page.textContent('#keys'), /Next flagAltN.*From a line to its findings, and backAltJ/s);
});

test('an acute finding: who was told, when and how goes with the version and its text', async (t) => {
  const { page, context } = await written(t, { context: { viewport: { width: 1280, height: 860 }, timezoneId: 'Asia/Kolkata' } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const { keyboard } = page;
  assert.match(await page.innerText('#acute'), /Acute finding: tension pneumothorax\. Communicated\?/);
  assert.equal(await told(page), null);
  await keyboard.press('Alt+KeyK');
  assert.equal((await focus(page))[0], 'told-who');
  await keyboard.type('Dr. Ana Méier');
  await page.click('#told-now');
  assert.match(await page.inputValue('#told-when'), /^\d{4}-\d\d-\d\dT\d\d:\d\d$/);
  await page.fill('#told-when', '2026-03-04T09:41');
  await page.selectOption('#told-how', 'phone');
  await page.fill('#told-note', 'read back');
  const { violations } = await runAxe(page);
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), []);
  await picture(page, 'acute');
  await page.focus('#told-note');
  await keyboard.press('Enter');
  assert.ok(!(await page.isVisible('#acute-fields')));
  assert.deepEqual(await told(page), {
    concept: 'tension_pneumothorax', label: 'tension pneumothorax', who: 'Dr. Ana Méier', when: '2026-03-04T09:41:00+05:30', how: 'phone, read back',
  });
  const line = 'COMMUNICATION:\nTension pneumothorax: communicated to Dr. Ana Méier by phone on 2026-03-04 at 09:41 (read back).';
  await page.click('#copy');
  assert.ok((await page.evaluate(() => navigator.clipboard.readText())).endsWith(`\n\n${line}`));
  await page.click('#insert');
  assert.ok((await page.inputValue('#findings')).includes(line));
  assert.equal((await calls(page, 'check')).at(-1).findings, FINDINGS, 'and none of it is read as findings');

  // Another version of the same findings has it too; each keeps its own.
  await page.click('#regenerate');
  await page.waitForFunction(() => document.getElementById('version-text').textContent === '2 of 2' && document.getElementById('stop').disabled);
  assert.equal((await told(page)).who, 'Dr. Ana Méier');
  await page.click('#acute-record');
  await page.fill('#told-who', 'The ward');
  await page.click('#older');
  assert.equal((await told(page)).who, 'Dr. Ana Méier');
  await page.click('#newer');
  assert.equal((await told(page)).who, 'The ward');
  // Another patient's report begins without it.
  await page.fill('#findings', 'Left tension pneumothorax.');
  await page.click('#regenerate');
  await page.waitForFunction(() => document.getElementById('version-text').textContent === '3 of 3' && document.getElementById('stop').disabled);
  assert.equal(await told(page), null);
});

test('the question is put away and brought back', async (t) => {
  const { page } = await written(t);
  await page.click('#acute-dismiss');
  assert.ok(!(await page.isVisible('#acute')));
  assert.equal((await focus(page))[0], 'acute-back');
  await page.keyboard.press('Enter');
  assert.ok(await page.isVisible('#acute-fields'));
  assert.equal((await focus(page))[0], 'told-who');
  await page.keyboard.press('Escape');
  assert.equal((await focus(page))[0], 'acute-record');
});
