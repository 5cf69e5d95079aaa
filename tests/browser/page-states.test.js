// What the page shows and keeps in every state, with a double of the engine: text is never lost.
import assert from 'node:assert/strict';

import { idle, picture, shown, write } from './lib/browser.js';
import { calls, openFake } from './lib/fake.js';
import { test } from './lib/test.js';

const FINDINGS = 'Small right pleural effusion. No pneumothorax.';
const MODEL_TEXT = 'New patchy airspace opacity in the right lower lobe, likely pneumonia.\nSmall right pleural effusion.\nNo pneumothorax.';

/** A page with findings in it. */
async function started(t, options) {
  const opened = await openFake(t, options);
  await opened.page.waitForFunction(() => document.getElementById('model-status').textContent !== 'Looking for a model');
  await opened.page.fill('#findings', FINDINGS);
  return opened;
}

test('the first visit says what will happen and how large it is, and fetches nothing', async (t) => {
  const { page } = await openFake(t);
  await page.waitForSelector('#welcome:not([hidden])');
  assert.equal(await page.locator('.steps li').count(), 3);
  assert.match(await page.textContent('#welcome'), /108 MB is downloaded once/);
  assert.match(await page.textContent('#generate'), /Download 108 MB and write/);
  assert.deepEqual(await calls(page, 'load'), []);
});

test('a stored model loads by itself; one that is half there does not', async (t) => {
  const { page } = await openFake(t, { fake: { stored: 108_197_745 } });
  await page.waitForSelector('#model-dot[data-state="ready"]');
  assert.equal((await calls(page, 'load')).length, 1);
  const half = await openFake(t, { fake: { stored: 50e6 } });
  await half.page.waitForSelector('#welcome:not([hidden])');
  assert.match(await half.page.textContent('#welcome'), /50 MB is here already; 58 MB is left/);
  assert.deepEqual(await calls(half.page, 'load'), []);
});

test('progress tells bytes, speed and time left; stopping keeps what came, and goes on there', async (t) => {
  const { page } = await started(t, { fake: { loadMs: 4000 } });
  await page.click('#load');
  await page.waitForFunction(() => /MB of 108 MB · .*\/s/.test(document.getElementById('amount').textContent));
  assert.match(await page.textContent('#left'), /left/);
  await picture(page, 'first-load');
  const at = Date.now();
  await page.keyboard.press('Escape');
  await idle(page);
  assert.ok(Date.now() - at < 1000, 'within a second');
  await page.waitForSelector('#welcome:not([hidden])');
  assert.match(await page.textContent('#load'), /Go on with \d+ MB/);
  await page.click('#load');
  await page.waitForFunction(() => /were stored here/.test(document.getElementById('cached').textContent));
  await page.waitForSelector('#model-dot[data-state="ready"]');
});

test('lines are numbered, recommendations stand apart, edits are kept over new versions', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 2 } });
  await write(page);
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
  assert.match(await page.inputValue('#edit-recommendation'), /^Recommend follow-up chest/);
  await page.locator('#edit').focus();
  await page.keyboard.press('Control+End');
  await page.keyboard.type('\nMine.');
  assert.equal(await page.locator('#lines li').count(), 4);
  assert.equal(await page.textContent('#edited-text'), 'Edited by you');
  await page.click('#restore');
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
  await page.click('#restore');
  assert.match(await page.inputValue('#edit'), /Mine\.$/);

  await page.click('[data-instruction]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('version-text').textContent === '2 of 2');
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
  assert.match((await calls(page, 'impression')).at(-1).instruction, /^Derive the impression .*\. Be brief/);
  await page.keyboard.press('Alt+ArrowLeft');
  assert.match(await page.inputValue('#edit'), /Mine\.$/, 'the edit of the first version is there');
  await picture(page, 'edited');
});

test('a stop while it writes keeps what was written, as a version', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 80 } });
  await page.click('#generate');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 1);
  await picture(page, 'streaming');
  await page.keyboard.press('Escape');
  await idle(page);
  const { stats, impression } = await shown(page);
  assert.match(stats, /^Stopped\./);
  assert.ok(impression.length > 0);
});

test('a prior report and the limits of the address reach the engine', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 1 }, params: { beams: 2, max_new_tokens: 9 } });
  await page.keyboard.press('Alt+KeyP');
  await page.keyboard.type('Normal chest.');
  await write(page);
  const { prior, beams, maxNewTokens, findings } = (await calls(page, 'impression')).at(-1);
  assert.deepEqual([prior, beams, maxNewTokens, findings], ['Normal chest.', 2, 9, FINDINGS]);
});

test('copy and insert; what is inserted below is not read as findings', async (t) => {
  const { page, context } = await started(t, { fake: { msPerWord: 1 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await write(page);
  await page.click('#copy');
  await page.waitForFunction(() => document.getElementById('toast').textContent === 'Copied');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /^1\. New patchy.*\n2\. Small right.*\n3\. No pneumothorax\.\n\nRECOMMENDATION:\n- Recommend/);
  await page.click('#insert');
  await page.click('#insert');
  const whole = await page.inputValue('#findings');
  assert.equal(whole, `${FINDINGS}\n\nIMPRESSION:\n${copied}\n`);
  assert.equal(await page.isVisible('#reads-above'), true);
  await write(page);
  assert.equal((await calls(page, 'impression')).at(-1).findings, FINDINGS);
});

test('a clipboard that refuses: the text is selected, and the page says so', async (t) => {
  const refuse = (page) => page.addInitScript(() => (navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowedError'))));
  const { page } = await started(t, { fake: { msPerWord: 1 }, prepare: refuse });
  await write(page);
  await page.click('#copy');
  await page.waitForFunction(() => /refused the clipboard/.test(document.getElementById('toast').textContent));
  assert.equal(await page.evaluate(() => getSelection().toString()), MODEL_TEXT);
});

test('device lost while typing: the text stays, one press loads again and goes on', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 40 } });
  await page.click('#generate');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
  await page.locator('#findings').pressSequentially(' Typing goes on.');
  await page.evaluate(() => globalThis.fake.engine.lose());
  await page.waitForSelector('#alert:not([hidden])');
  assert.equal(await page.inputValue('#findings'), `${FINDINGS} Typing goes on.`);
  assert.equal((await shown(page)).code, 'device_lost');
  await picture(page, 'error-device-lost');
  await page.click('#alert-action');
  await page.waitForSelector('#edit:not([hidden])');
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
  assert.equal(await page.isVisible('#alert'), false);
});

test('device lost while nothing is written: an edit stays, and the model comes back', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 1 } });
  await write(page);
  await page.fill('#edit', 'Mine.');
  await page.evaluate(() => globalThis.fake.engine.lose());
  await page.waitForSelector('#alert-action:not([hidden])');
  assert.equal(await page.textContent('#model-status'), 'No model loaded');
  await page.click('#alert-action');
  await page.waitForSelector('#model-dot[data-state="ready"]');
  assert.equal(await page.inputValue('#edit'), 'Mine.');
});

test('storage that is full: the model works, and the page says that it is not kept', async (t) => {
  const { page } = await started(t, { fake: { kept: false, msPerWord: 1 } });
  const { impression } = await write(page);
  assert.ok(impression);
  await page.waitForFunction(() => /storage is full or refused/.test(document.getElementById('not-kept').textContent));
});

test('a private window: said before the download', async (t) => {
  const { page } = await openFake(t, { fake: { storage: false, kept: false } });
  await page.waitForSelector('#welcome-note:not([hidden])');
  assert.match(await page.textContent('#welcome'), /for this visit only/);
});

test('no WebGPU: what to do, and writing by hand still works', async (t) => {
  const { page } = await openFake(t, { fake: { unsupported: 'It has no WebGPU.' } });
  await page.waitForSelector('#unsupported:not([hidden])');
  assert.equal(await page.isDisabled('#generate'), true);
  assert.match(await page.textContent('#unsupported'), /graphics acceleration/);
  await page.fill('#findings', FINDINGS);
  await page.keyboard.press('Control+Enter');
  assert.deepEqual(await calls(page), []);
  await picture(page, 'error-no-webgpu');
});

test('a new version waits while an impression is written, and asks before text is lost', async (t) => {
  const prepare = (page) => page.route('**/app/offline.js', (route) => route.fulfill({
    contentType: 'text/javascript',
    body: 'export async function registerOffline({ onUpdate }) { globalThis.newVersion = () => onUpdate(() => (globalThis.applied = true)); }',
  }));
  const { page } = await started(t, { fake: { msPerWord: 60 }, prepare });
  await page.waitForFunction(() => globalThis.newVersion); // it is asked for when nothing is under way
  await page.click('#generate');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
  await page.evaluate(() => globalThis.newVersion());
  assert.equal(await page.isVisible('#update'), true);
  await page.click('#update-apply');
  assert.match(await page.textContent('#confirm-text'), /being written/);
  await page.keyboard.press('Enter'); // the safe answer has the focus
  await idle(page);
  assert.equal(await page.evaluate(() => globalThis.applied), undefined);
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
  await page.click('#update-apply');
  await page.click('#confirm-yes');
  await page.waitForFunction(() => globalThis.applied === true);
});

test('closing with text in it asks first; nothing of it is stored', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 1 } });
  await write(page);
  await page.locator('#edit').pressSequentially('Mine. ');
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state, window.name]));
  assert.doesNotMatch(kept, /effusion|Mine/);
  const asked = page.waitForEvent('dialog');
  page.close({ runBeforeUnload: true });
  const dialog = await asked;
  assert.equal(dialog.type(), 'beforeunload');
  await dialog.dismiss();
  assert.match(await page.inputValue('#edit'), /Mine\. $/);
});

test('200 KB are pasted without a freeze, and an overlong prompt is explained', async (t) => {
  const writeError = { code: 'prompt_too_long', message: 'the prompt has 41000 tokens, and the context holds 2048' };
  const { page } = await started(t, { fake: { msPerWord: 1, writeError } });
  const long = 'No acute findings. '.repeat(11_000);
  await page.evaluate((text) => {
    document.getElementById('findings').select();
    const at = performance.now();
    document.execCommand('insertText', false, text);
    globalThis.pasteMs = performance.now() - at;
  }, long);
  const ms = await page.evaluate(() => globalThis.pasteMs);
  t.diagnostic(`a paste of ${long.length} bytes took ${Math.round(ms)} ms`);
  assert.ok(ms < 3000, `${ms} ms`);
  const { code, advice } = await write(page);
  assert.equal(code, 'prompt_too_long');
  assert.match(advice, /Nothing was cut off/);
  assert.equal((await page.inputValue('#findings')).length, long.length);
});

test('HTML and control tokens stay text; right-to-left and CJK text keep their direction', async (t) => {
  const text = '<img src=x onerror="globalThis.broken=1"> <script>globalThis.broken=1</script> <|im_end|> </s>.\nلا يوجد استرواح صدري.\n右下肺にすりガラス影を認める。胸水はない。';
  const { page } = await started(t, { fake: { msPerWord: 5, text } });
  await page.fill('#findings', text);
  const { impression } = await write(page);
  assert.match(impression, /<script>.*<\|im_end\|>/s);
  assert.equal(await page.evaluate(() => globalThis.broken), undefined);
  assert.equal(await page.locator('#output script, #output img').count(), 0);
  const lines = await page.locator('#lines li').allTextContents();
  assert.deepEqual(lines.slice(-3), ['لا يوجد استرواح صدري.', '右下肺にすりガラス影を認める。', '胸水はない。']);
  await page.fill('#findings', 'لا يوجد استرواح صدري.');
  assert.equal(await page.evaluate(() => getComputedStyle(document.getElementById('findings')).direction), 'rtl');
  await picture(page, 'right-to-left');
});

test('a tab that sleeps shows the end when it wakes', async (t) => {
  const { page, context } = await started(t, { fake: { msPerWord: 40 } });
  const devtools = await context.newCDPSession(page);
  await page.click('#generate');
  await page.waitForFunction(() => document.querySelectorAll('#lines li').length > 0);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await page.waitForSelector('#edit:not([hidden])');
  assert.equal(await page.inputValue('#edit'), MODEL_TEXT);
});

test('a model and an adapter from disk, by dialog and dropped; an adapter alone is swapped', async (t) => {
  const { page } = await started(t, { fake: { msPerWord: 1, loadMs: 100 } });
  const file = (name, size = 2000) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.alloc(size) });
  await page.click('#model-button');
  await page.setInputFiles('#gguf', [file('own-00002-of-00002.gguf'), file('own-00001-of-00002.gguf')]);
  assert.match(await page.textContent('#disk-model'), /2 parts of own-00001/);
  await page.setInputFiles('#peft', [file('adapter_model.safetensors')]);
  assert.match(await page.textContent('#model-problem'), /adapter_config\.json is missing/);
  await page.setInputFiles('#peft', [file('adapter_model.safetensors'), file('adapter_config.json')]);
  await page.selectOption('#template', 'alpaca');
  await picture(page, 'own-model');
  await page.click('#model-apply');
  await page.waitForSelector('#model-dot[data-state="ready"]');
  const [load] = await calls(page, 'load');
  assert.deepEqual([load.model, load.adapter, load.template], [['own-00001-of-00002.gguf', 'own-00002-of-00002.gguf'], 'adapter_model.safetensors', 'alpaca']);

  await page.click('#model-button');
  await page.check('input[name="adapter"][value="none"]');
  await page.click('#model-apply');
  await page.waitForFunction(() => globalThis.fake.calls.some(({ call }) => call === 'swapAdapter'));
  assert.equal((await calls(page, 'load')).length, 1, 'the model was not loaded again');

  const dropped = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['GGUF'], 'dropped.gguf'));
    return transfer;
  });
  await page.dispatchEvent('main', 'dragenter', { dataTransfer: dropped });
  assert.equal(await page.isVisible('#drop-target'), true);
  await page.dispatchEvent('main', 'drop', { dataTransfer: dropped });
  await page.waitForFunction(() => /dropped\.gguf/.test(document.getElementById('disk-model').textContent));
});

test('what is stored is listed and deleted when told to, after asking', async (t) => {
  const { page } = await openFake(t, { fake: { stored: 108_197_745 } });
  await page.waitForSelector('#model-dot[data-state="ready"]');
  await page.click('#details-button');
  await page.waitForFunction(() => /108 MB/.test(document.getElementById('stored').textContent));
  assert.match(await page.textContent('#quota'), /in use of 12\.00 GB/);
  assert.match(await page.textContent('#device'), /matvec: subgroup.*Sealed.*Yes/s);
  await page.click('#stored button');
  await page.click('#confirm-no');
  assert.equal(await page.evaluate(() => globalThis.fake.stored), 108_197_745);
  await page.click('#delete-all');
  await page.click('#confirm-yes');
  await page.waitForFunction(() => /No model is stored/.test(document.getElementById('stored').textContent));
});

test('the theme follows the system until it is chosen, and the choice is kept', async (t) => {
  const { page } = await openFake(t, { context: { colorScheme: 'light' } });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.click('#theme');
  assert.notEqual(await ground(), light);
  await page.reload();
  await page.waitForSelector('#theme[aria-label="Theme: dark"]');
  assert.notEqual(await ground(), light);
});
