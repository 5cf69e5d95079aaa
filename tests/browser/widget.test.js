// The widget's states and its life in a form, with a stand-in for the engine.
import assert from 'node:assert/strict';

import { open as openBrowser, picture } from './lib/browser.js';
import { axe, visitHost } from './lib/hosts.js';
import { test } from './lib/test.js';

const FINDINGS = 'Patchy opacity in the right lower lobe. Small right pleural effusion.';
const one = `<radiology-impression findings="${FINDINGS}"></radiology-impression>`;
const options = { webgpu: false };

/** No model is loaded here: what takes longer hangs. */
async function open(t, options) {
  const opened = await openBrowser(t, options);
  opened.page.setDefaultTimeout(10_000);
  return opened;
}

/** A function of the page's first widget (or that of a selector), run there. */
const on = (page, act, argument) =>
  page.evaluate(
    ([source, argument]) => new Function('e', 'a', `return (${source})(e, a)`)(document.querySelector('radiology-impression'), argument),
    [String(act), argument],
  );
const state = (page, wanted) =>
  page.waitForFunction((wanted) => document.querySelector('radiology-impression').state === wanted, wanted);

test('the field for findings, writing, editing and both ways back, by keyboard', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, '<radiology-impression></radiology-impression>', { stub: {} });
  assert.deepEqual(server.requests.filter(({ path }) => /radllama|weights|pkg/.test(path)), [], 'nothing of the engine before the first use');
  await page.keyboard.press('Tab');
  await page.keyboard.type(FINDINGS);
  await page.keyboard.press('Control+Enter');
  await state(page, 'done');
  const text = page.getByRole('textbox', { name: 'Impression' });
  assert.match(await text.inputValue(), /^1\. Right lower lobe.*\n2\. Small right/);
  assert.deepEqual(await page.evaluate(() => globalThis.stub.runs.map(({ findings }) => findings)), [FINDINGS]);
  await text.focus();
  await page.keyboard.press('Control+End');
  await page.keyboard.type(' No pneumothorax.');
  assert.equal(await on(page, (e) => e.edited), true);
  await page.getByRole('button', { name: 'Model’s text' }).press('Enter');
  assert.doesNotMatch(await text.inputValue(), /pneumothorax/);
  await page.getByRole('button', { name: 'My text' }).press('Enter');
  assert.match(await text.inputValue(), /effusion\. No pneumothorax\.$/);
  await page.keyboard.press('Control+End');
  await page.keyboard.type(' Checked.');
  await page.getByRole('button', { name: 'Write again' }).press('Enter');
  await state(page, 'done');
  await page.waitForFunction(() => !document.querySelector('radiology-impression').busy);
  assert.equal(await on(page, (e) => e.edited), false);
  await page.getByRole('button', { name: 'My text' }).press('Enter');
  assert.match(await text.inputValue(), /No pneumothorax\. Checked\.$/, 'writing again loses no edit');
});

test('events come typed and in order, the instruction line is used', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, one, { stub: {} });
  await on(page, (e) => {
    globalThis.log = [];
    for (const type of ['progress', 'delta', 'impression', 'error', 'change', 'input']) {
      e.addEventListener(type, ({ detail }) => globalThis.log.push([type, detail?.phase ?? detail?.text ?? null]));
    }
  });
  await page.getByRole('button', { name: 'Instruction' }).click();
  await page.keyboard.type('one line');
  await page.keyboard.press('Enter');
  await state(page, 'done');
  const log = await page.evaluate(() => globalThis.log);
  const kinds = log.map(([type]) => type).filter((type, at, all) => type !== all[at - 1]);
  assert.deepEqual(kinds, ['progress', 'delta', 'impression', 'change'], 'typing an instruction is no input of the field');
  assert.deepEqual(new Set(log.filter(([type]) => type === 'progress').map(([, phase]) => phase)), new Set(['start', 'load', 'prepare', 'read']));
  assert.equal((await page.evaluate(() => globalThis.stub.runs[0])).options.instruction, 'one line');
});

const FLAGS = [
  { words: 'Small right', kind: 'side', severity: 'hard', message: 'pleural effusion: "right", but the findings name the other side' },
  { words: 'concerning', kind: 'unsupported', severity: 'soft', message: 'the findings do not mention pneumonia' },
];
const ACUTE = [
  { concept: 'free_air', label: 'free air', certain: true, section: 'findings', start: 0, end: 3 },
  { concept: 'torsion', label: 'torsion', certain: false, section: 'findings', start: 0, end: 3 },
];

test('flags are fired once each as they come, shown with their lines, and go when the line is mended', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, one, { stub: { flags: FLAGS, acute: ACUTE } });
  await on(page, (e) => {
    globalThis.fired = [];
    for (const type of ['flag', 'acute', 'delta', 'impression']) {
      e.addEventListener(type, ({ detail }) => globalThis.fired.push({ type, state: e.state, detail }));
    }
    e.prior = 'Prior.';
    return e.generate().then(() => {});
  });
  const fired = await page.evaluate(() => globalThis.fired);
  const flags = fired.filter(({ type }) => type === 'flag');
  assert.deepEqual(flags.map(({ detail: { flag } }) => flag.kind), ['unsupported', 'side']);
  assert.ok(flags.every(({ state }) => state !== 'done'), 'while it is written');
  assert.match(flags[1].detail.line, /^2\. Small/);
  assert.deepEqual(fired.filter(({ type }) => type === 'acute').map(({ detail }) => detail.finding.concept), ['free_air']);
  assert.equal(fired.at(-1).detail.guard.flags.length, 2);
  const shown = () => page.getByRole('list', { name: 'Flags' }).getByRole('button').allInnerTexts().then((all) => all.map((text) => text.replaceAll(/\s+/g, ' ').trim()));
  assert.deepEqual(await shown(), [
    'Check Line 2 Pleural effusion: "right", but the findings name the other side', 'Consider Line 1 The findings do not mention pneumonia',
  ]);
  const inside = () => on(page, (e) => e.shadowRoot.textContent);
  assert.match(await inside(), /Written by the model · 1 to check/);
  assert.match(await inside(), /The impression is written · 1 to check/, 'a screen reader hears of it');
  assert.match(await inside(), /Acute finding: free air\. Communicated\?/);
  await page.getByRole('button', { name: /Line 2/ }).click();
  const text = page.getByRole('textbox', { name: 'Impression' });
  assert.equal(await text.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd)), 'Small right');
  await page.keyboard.type('Small left');
  await page.waitForFunction(() => document.querySelector('radiology-impression').flags.length === 1);
  assert.deepEqual(await page.evaluate(() => globalThis.stub.checks.at(-1).options), { prior: 'Prior.' });
  assert.deepEqual(await shown(), ['Consider Line 1 The findings do not mention pneumonia']);
  assert.equal((await page.evaluate(() => globalThis.fired)).filter(({ type }) => type === 'flag').length, 2, 'none is told of twice');
  await on(page, (e) => (e.lang = 'de'));
  assert.match(await inside(), /BedenkenZeile 1Davon steht nichts im Befund\./);
});

test('when the findings or the prior report change, the text is read against them', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, `<label>Findings<textarea id="f">${FINDINGS}</textarea></label><radiology-impression for="f"></radiology-impression>`, { stub: { flags: FLAGS } });
  await on(page, (e) => e.generate().then(() => {}));
  const checks = () => page.evaluate(() => globalThis.stub.checks.map(({ findings, options }) => [findings, options.prior ?? null]));
  const checked = (count) => page.waitForFunction((count) => globalThis.stub.checks.length === count, count);
  assert.deepEqual(await checks(), [], 'what was written came with its report');
  await page.fill('#f', 'Other findings.');
  await checked(1);
  await on(page, (e) => (e.prior = 'Prior.'));
  await checked(2);
  await on(page, (e) => e.setAttribute('findings', 'Given.'));
  await checked(3);
  assert.deepEqual(await checks(), [['Other findings.', null], ['Other findings.', 'Prior.'], ['Given.', 'Prior.']]);
  await on(page, (e) => {
    const written = e.generate();
    e.findings = 'Changed while it is written.';
    return written.then(() => {});
  });
  await checked(4);
  assert.equal((await checks()).at(-1)[0], 'Changed while it is written.');
  await page.waitForTimeout(600);
  assert.equal((await checks()).length, 4, 'read once for each change');
});

test('it is a field of a form: value, validity, reset, disabled, state', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server,
    `<form><fieldset><label for="i">Conclusion</label>
     <radiology-impression id="i" name="impression" required findings="${FINDINGS}"></radiology-impression></fieldset></form>`,
    { stub: {} });
  const data = () => page.evaluate(() => Object.fromEntries(new FormData(document.forms[0])));
  assert.deepEqual(await on(page, (e) => [e.form === document.forms[0], e.labels.length, e.validity.valueMissing, document.forms[0].checkValidity()]), [true, 1, true, false]);
  await page.evaluate(() => {
    globalThis.stub.holdAt = 3;
    globalThis.stub.holdMid = new Promise((resolve) => (globalThis.goOn = resolve));
    void document.querySelector('radiology-impression').generate();
  });
  await state(page, 'writing');
  assert.deepEqual([await on(page, (e) => e.checkValidity()), await data()], [false, {}], 'half an impression is not submitted');
  await page.evaluate(() => globalThis.goOn());
  await state(page, 'done');
  assert.equal(await on(page, (e) => e.checkValidity()), true);
  assert.deepEqual(await data(), { impression: await on(page, (e) => e.value) });
  await page.evaluate(() => document.forms[0].reset());
  assert.deepEqual(await on(page, (e) => [e.value, e.modelText, e.state]), ['', null, 'ready']);
  await page.evaluate(() => (document.querySelector('fieldset').disabled = true));
  assert.equal(await page.getByRole('button', { name: 'Write impression' }).isDisabled(), true);
  await page.evaluate(() => (document.querySelector('fieldset').disabled = false));
  const restored = await on(page, (e) => {
    e.formStateRestoreCallback(JSON.stringify({ text: 'mine', modelText: 'its' }));
    return [e.value, e.edited];
  });
  assert.deepEqual(restored, ['mine', true]);
});

test('a load can be stopped and begun again, and stopping a writing keeps what was written', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, one, { stub: {} });
  await page.evaluate(() => void (globalThis.stub.holdLoad = new Promise((resolve) => (globalThis.goOn = resolve))));
  await page.getByRole('button', { name: 'Write impression' }).click();
  await page.waitForFunction(() => document.querySelector('radiology-impression').shadowRoot.textContent.includes('49.0 of 98.0 MB'));
  await page.keyboard.press('Escape'); // the focus went from Write to Stop
  await state(page, 'idle');
  await page.evaluate(() => {
    globalThis.goOn();
    globalThis.stub.holdAt = 3;
    globalThis.stub.holdMid = new Promise(() => {});
  });
  await page.keyboard.press('Control+Enter');
  await page.waitForFunction(() => document.querySelector('radiology-impression').value.endsWith('lower '));
  await page.keyboard.press('Escape');
  await state(page, 'done');
  assert.equal(await on(page, (e) => [e.value, e.result.stop].join('|')), '1. Right lower |cancelled');
  assert.equal(await page.evaluate(() => globalThis.stub.loads.length), 2);
});

test('failures are told in words with their code, and no text is lost by them', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, one, { stub: { failLoad: 'no_adapter' } });
  const alert = page.getByRole('alert');
  const fired = () => on(page, (e) => new Promise((resolve) => e.addEventListener('error', ({ detail }) => resolve(detail), { once: true })));
  await on(page, (e) => void (e.value = 'My own words.'));
  let error = fired();
  await page.getByRole('button', { name: 'Write impression' }).click();
  assert.deepEqual(await error, { code: 'no_adapter', message: 'it failed; try again' });
  assert.match(await alert.textContent(), /it failed; try again.*no_adapter/);
  await page.evaluate(() => Object.assign(globalThis.stub, { failLoad: null, failRun: 'device_lost', failAfter: 3 }));
  error = fired();
  await page.getByRole('button', { name: 'Write impression' }).click();
  assert.equal((await error).code, 'device_lost');
  assert.match(await alert.textContent(), /Your text is safe.*device_lost/);
  assert.equal(await on(page, (e) => e.value), 'My own words.');
  await picture(page, 'widget-error');
  await page.evaluate(() => (globalThis.stub.failRun = null));
  await page.getByRole('button', { name: 'Write impression' }).click();
  await state(page, 'done');
  assert.equal(await alert.count(), 0, 'the next success takes it away');
  await on(page, (e) => void (e.findings = ' '));
  await page.getByRole('button', { name: 'Write again' }).click();
  await state(page, 'error');
  assert.match(await alert.textContent(), /empty_findings/);
});

test('two widgets share an engine, others with another adapter do not, and the last one gives it back', async (t) => {
  const { page, server } = await open(t, options);
  const tag = (more = '') => `<radiology-impression findings="x" ${more}></radiology-impression>`;
  await visitHost(page, server, tag() + tag() + tag('adapter="none"'), { stub: {} });
  await page.evaluate(async () => {
    const all = [...document.querySelectorAll('radiology-impression')];
    all[0].constructor.graceMs = 50;
    await Promise.all(all.map((e) => e.generate()));
  });
  const stub = () => page.evaluate(() => ({ loads: globalThis.stub.loads, live: globalThis.stub.live }));
  const { loads, live } = await stub();
  assert.deepEqual([loads.length, loads.filter(({ adapter }) => adapter === null).length, live], [2, 1, 2]);
  await page.evaluate(async () => {
    const [first, second] = document.querySelectorAll('radiology-impression');
    second.remove();
    document.body.append(first); // moved, not gone
    await new Promise((resolve) => setTimeout(resolve, 200));
  });
  assert.equal((await stub()).live, 2, 'it is in use');
  await page.evaluate(() => document.querySelector('radiology-impression:last-of-type').remove());
  await page.evaluate(() => document.body.querySelector(':scope > radiology-impression')?.remove());
  await page.waitForFunction(() => globalThis.stub.live < 2);
});

test('preload loads at once; words follow the language and the host', async (t) => {
  const { page, server } = await open(t, options);
  await visitHost(page, server, '<radiology-impression preload findings="x"></radiology-impression>', { stub: {}, lang: 'de-AT' });
  await state(page, 'ready');
  assert.deepEqual(await page.evaluate(() => [globalThis.stub.loads.length, globalThis.stub.runs.length]), [1, 0]);
  await page.getByRole('button', { name: 'Beurteilung schreiben' }).waitFor();
  await on(page, (e) => {
    e.constructor.addTexts('fr', { generate: 'Rédiger' });
    e.lang = 'fr';
    e.texts = { stop: 'Halte' };
  });
  await page.getByRole('button', { name: 'Rédiger' }).waitFor();
  // A second copy of the module leaves the first in place; an unguarded define would throw.
  await page.evaluate(() => import('/widget/widget.js?again').then(() => {}));
});

test('markup, control tokens, right-to-left and CJK text stay text', async (t) => {
  const { page, server } = await open(t, options);
  const text = '<img src=x onerror=alert(1)> <|im_end|> </s> سليم 右下葉に浸潤影';
  await visitHost(page, server, one, { stub: { text } });
  await on(page, (e, text) => e.generate({ instruction: text }), text);
  assert.equal(await on(page, (e) => e.value), text);
  assert.equal(await on(page, (e) => e.shadowRoot.querySelectorAll('img').length), 0);
  assert.equal(await page.getByRole('textbox', { name: 'Impression' }).getAttribute('dir'), 'auto');
});

for (const [theme, width] of [['light', 760], ['dark', 760], ['dark', 300]]) {
  test(`axe finds nothing, and nothing sticks out: ${theme}, ${width} px`, async (t) => {
    const { page, server } = await open(t, { ...options, context: { viewport: { width, height: 700 }, colorScheme: theme } });
    await visitHost(page, server, `${one}<radiology-impression theme="${theme}" lang="de" readonly></radiology-impression>`, { stub: { flags: FLAGS, acute: ACUTE } });
    await page.addStyleTag({ content: `:root { color-scheme: ${theme}; } main { display: grid; gap: 16px; } body { margin: 10px; }` });
    assert.deepEqual(await axe(page), []);
    await on(page, (e) => e.generate());
    await on(page, (e) => void (e.value += ' Edited.'));
    await page.getByRole('button', { name: 'Instruction' }).click();
    assert.deepEqual(await axe(page), []);
    await page.evaluate(() => document.querySelectorAll('radiology-impression')[1].generate().catch(() => {}));
    assert.deepEqual(await axe(page), [], 'with an error');
    const out = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(out <= 0, `${out} px too wide`);
    await picture(page, `widget-${theme}-${width}`);
  });
}
