// The reader study through its page: blinded, by keyboard, kept over reloads, and with the right figures.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runAxe } from './lib/axe.js';
import { picture } from './lib/browser.js';
import { radllama } from './lib/paths.js';
import { CRITERIA, SYSTEMS, answer, begin, byHand, mark, openStudy, saved, shown, studyFile } from './lib/study.js';
import { test } from './lib/test.js';

const REPORTS = 30;
const READERS = ['AB', 'CD', 'Dr. Ěž'];

/** Presses Finish with the keyboard: the answer of the question is one Tab away. */
async function finish(page) {
  await page.waitForSelector('#confirm[open]');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#results:not([hidden])');
}

/** The same but for the last digits, which two builds' exponentials may round differently. */
function same(a, b, where = '') {
  if (typeof a === 'number' && typeof b === 'number') return near(a, b, where, 1e-12);
  if (a === null || typeof a !== 'object') return assert.equal(a, b, where);
  assert.deepEqual(Object.keys(a).sort(), Object.keys(b).sort(), where);
  for (const key of Object.keys(a)) same(a[key], b[key], `${where}.${key}`);
}

const near = (found, expected, what, within = 1e-9) => assert.ok(Math.abs(found - expected) <= within, `${what}: ${found}, not ${expected}`);

test('three readers rate thirty reports by keyboard; the figures are those of a calculation by hand', async (t) => {
  const { page, context } = await openStudy(t);
  const files = [];
  for (const [r, reader] of READERS.entries()) {
    await begin(page, studyFile(REPORTS), reader);
    const order = [];
    for (let at = 0; at < REPORTS; at++) {
      if (r === 1 && at === 12) {
        // A reload in the middle of a report: what was answered is there, the place too.
        await page.keyboard.type('123');
        await page.waitForFunction(async () => {
          const open = indexedDB.open('radllama-study');
          const db = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
          const all = db.transaction('sittings').objectStore('sittings').getAll();
          const [sitting] = await new Promise((resolve) => (all.onsuccess = () => resolve(all.result.filter(({ reader }) => reader === 'CD'))));
          db.close();
          return sitting.answers[12].marks[0][2] === 3;
        });
        await page.reload();
        await page.waitForSelector('#kept:not([hidden])');
        assert.match(await page.textContent('#kept-list'), /Reader CD, 12 of 30 rated/);
        await page.focus('#kept-list li button');
        await page.keyboard.press('Enter');
        await page.waitForSelector('#rate:not([hidden])');
        assert.equal(await page.textContent('#where'), 'Report 13 of 30');
        assert.equal(await page.locator('.cell input:checked').count(), 3);
        for (const _ of '123') await page.keyboard.press('ArrowUp'); // and is written over
      }
      order.push(await answer(page, r));
      if (at === 4) {
        // No system has a name on the page, nor in what the page itself holds.
        const known = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify(globalThis.radllama.sitting));
        for (const name of SYSTEMS) assert.ok(!known.includes(name), `${name} is told`);
      }
    }
    const first = order.filter(({ places }) => places[0] === 0).length;
    assert.equal(first, REPORTS / 2, 'each system is as often on the left');
    assert.equal(new Set(order.map(({ n }) => n)).size, REPORTS);
    files.push({ order: order.map(({ n }) => n).join() });
    await finish(page);
    Object.assign(files[r], await saved(page, '#save-ratings'));
    if (r < 2) {
      await page.click('#results-close');
      await page.waitForSelector('#start:not([hidden])');
    }
  }
  assert.notEqual(files[0].order, files[1].order, 'readers have orders of their own');

  // Rows are in the order of what was seen; the first column after the system's name is the first criterion.
  const rows = files[1].text.trim().split('\n').map((line) => line.split(','));
  assert.deepEqual(rows[0].slice(0, 7), ['study', 'reader', 'order', 'report', 'place', 'system', CRITERIA[0]]);
  assert.equal(rows.length, 1 + 2 * REPORTS);
  for (const [, reader, , report, , system, ...marks] of rows.slice(1)) {
    const expected = CRITERIA.map((_, c) => String(mark(Number(report.slice(1)), 1, SYSTEMS.indexOf(system), c)));
    assert.deepEqual([reader, marks.slice(0, 5)], ['CD', expected]);
  }

  const buffers = files.slice(0, 2).map(({ name, text }) => ({ name, mimeType: 'text/csv', buffer: Buffer.from(text) }));
  await page.setInputFiles('#more-file', buffers);
  await page.waitForFunction(() => globalThis.radllama.figures.readers.length === 3);
  const found = await page.evaluate(() => globalThis.radllama.figures);
  const expected = byHand(REPORTS, READERS.length);
  assert.deepEqual(found.systems, SYSTEMS);
  for (const s of [0, 1]) {
    for (let c = 0; c < 6; c++) {
      const [mean, by] = [found.means[s][c], expected.means[s][c]];
      near(mean.mean, by.mean, 'mean');
      near(mean.sd, by.sd, 'sd');
      assert.equal(mean.count, by.count);
      // The bootstrap over reports against the normal interval of reports' means: the same but for chance.
      assert.ok(mean.interval.low < mean.mean && mean.mean < mean.interval.high);
    }
  }
  for (const [c, gain] of found.differences[0].gains.entries()) {
    near(gain.difference, expected.differences[c].difference, 'difference');
    near(gain.p, expected.differences[c].p, 'p');
    near(gain.p_holm, expected.differences[c].p_holm, 'Holm');
  }
  for (const [c, { ordinal, interval }] of found.agreement.entries()) {
    near(ordinal.alpha, expected.agreement[c].ordinal, `ordinal alpha of ${CRITERIA[c]}`);
    near(interval.alpha, expected.agreement[c].interval, `interval alpha of ${CRITERIA[c]}`);
    assert.equal(ordinal.units, 2 * REPORTS);
  }
  const { preference } = found;
  assert.deepEqual([preference.votes, preference.won], [expected.preference.votes, expected.preference.won]);
  near(preference.p, expected.preference.p, 'sign test');
  near(preference.p_judgements, expected.preference.p_judgements, 'binomial test');
  near(preference.alpha.alpha, expected.preference.alpha, 'nominal alpha');
  await picture(page, 'study-results');

  // The saved report is a page of its own, and the native program says the same of the readers' files.
  const report = await saved(page, '#save-report');
  assert.match(report.text, /Chest radiographs, June/);
  assert.doesNotMatch(report.text, /effusion|Text \d/);
  const viewer = await context.newPage();
  await viewer.setViewportSize({ width: 1100, height: 900 });
  await viewer.setContent(report.text);
  await picture(viewer, 'study-report');
  const { violations } = await runAxe(viewer);
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
  const folder = mkdtempSync(join(tmpdir(), 'radllama-study-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const paths = files.map(({ text }, at) => {
    writeFileSync(join(folder, `${at}.csv`), text);
    return join(folder, `${at}.csv`);
  });
  const native = JSON.parse(execFileSync(radllama, ['study', 'report', ...paths, '--json', '--out', join(folder, 'out')], { encoding: 'utf8' }));
  same(native, found);
  // The bytes too, but for the title, which comes from the study's file.
  assert.equal(readFileSync(join(folder, 'out/report.html'), 'utf8').replaceAll('Reader study', 'Chest radiographs, June'), report.text);
});

test('what is missing is asked for; back and forth; a mouse does as well', async (t) => {
  const { page } = await openStudy(t);
  await begin(page, studyFile(4), 'X');
  await page.keyboard.press('Enter');
  assert.equal(await page.textContent('#where'), 'Report 1 of 4', 'nothing is answered yet');
  await page.keyboard.type('55555');
  await page.keyboard.press('Enter');
  assert.match(await page.textContent('#question'), /^B, Understandability/);
  await page.keyboard.type('44444');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'preferred');
  await page.click('#preference label:nth-of-type(2)');
  await page.click('#next');
  assert.equal(await page.textContent('#where'), 'Report 2 of 4');
  await page.keyboard.press('Backspace');
  assert.equal(await page.textContent('#where'), 'Report 1 of 4');
  const checked = await page.$$eval('.cell input:checked', (inputs) => inputs.map(({ value }) => value).join(''));
  assert.equal(checked, '5555544444');
  // A radio button's own keys: right is one more, down another criterion.
  await page.focus('[data-cell="1-0"] input:checked');
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => globalThis.radllama.sitting.answer.marks[1][0]), 5);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.type('1');
  assert.equal(await page.evaluate(() => globalThis.radllama.sitting.answer.marks[1][1]), 1);
  await page.click('[data-cell="0-2"] label:nth-child(3)');
  assert.equal(await page.evaluate(() => globalThis.radllama.sitting.answer.marks[0][2]), 3);
  // Single keys can be switched off.
  await page.click('#help-button');
  await page.uncheck('#single-keys');
  await page.keyboard.press('Escape');
  await page.keyboard.type('2');
  assert.deepEqual(await page.evaluate(() => globalThis.radllama.sitting.answer.marks[0][2]), 3);

  // Ended early: what was answered counts, and nothing can be changed any more.
  await page.click('#leave');
  await page.click('#confirm-yes');
  await page.waitForSelector('#results:not([hidden])');
  assert.equal(await page.evaluate(() => globalThis.radllama.figures.reports), 1);
  await page.click('#results-close');
  await page.waitForSelector('#kept:not([hidden])');
  assert.match(await page.textContent('#kept-list'), /1 of 4 rated, ended/);
  await page.click('#kept-list .danger');
  await page.click('#confirm-yes');
  await page.waitForFunction(() => document.getElementById('kept').hidden);
  const left = await page.evaluate(async () => {
    const open = indexedDB.open('radllama-study');
    const db = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
    const counts = ['files', 'sittings', 'draft'].map((name) => new Promise((resolve) => (db.transaction(name).objectStore(name).count().onsuccess = ({ target }) => resolve(target.result))));
    return Promise.all(counts);
  });
  assert.deepEqual(left, [0, 0, 0], 'nothing of it stays');
});

test('bad files are told with their line, and take nothing away', async (t) => {
  const { page, context, server } = await openStudy(t);
  const said = async (input, name, content, words) => {
    const files = [content].flat().map((text, at) => ({ name: at ? `${at}-${name}` : name, mimeType: 'text/plain', buffer: Buffer.from(text) }));
    await page.setInputFiles(input, files);
    await page.waitForSelector('#alert:not([hidden])');
    const message = await page.textContent('#alert-message');
    for (const word of words) assert.ok(message.includes(word), `${word} is not in ${message}`);
    assert.ok(!/secret/.test(message), message);
    await page.click('#alert-close');
  };
  const row = (id, more = '') => `{"id":"${id}","findings":"secret","outputs":{"a":"secret","b":"x"${more}}}\n`;
  await said('#study-file', 's.jsonl', `${row('1')}{"id":`, ['s.jsonl, line 2', 'JSON']);
  await said('#study-file', 's.jsonl', row('1') + row('1'), ['1 stands in', 'line 1', 'line 2']);
  await said('#study-file', 's.jsonl', row('1') + row('2', ',"c":"secret"'), ['line 2', '3 systems']);
  await said('#study-file', 's.csv', 'id,text,a,b\n1,secret,x,y\n', ['line 1', '"findings"']);
  await said('#study-file', 's.csv', 'id,findings,a,b\n1,secret,x\n', ['line 2', '3 cells']);
  await said('#study-file', 's.csv', Buffer.from('id,findings,a,b\n1,secret,x,y\n2,caf\xe9,x,y\n', 'latin1'), ['line 3', 'UTF-8']);
  await said('#study-file', 's.jsonl', '', ['s.jsonl']);
  await said('#merge-file', 'r.csv', 'study,reader\nx,y\n', ['r.csv, line 1', 'missing']);

  // A good one; then bad files beside it change nothing of what is shown.
  await begin(page, studyFile(2), 'X');
  for (const _ of [1, 2]) await answer(page, 0);
  await finish(page);
  const own = await saved(page, '#save-ratings');
  const before = await page.textContent('#results-body');
  await said('#more-file', 'r.csv', own.text, ['r.csv, line 2', 'X, r']);
  await said('#more-file', 'r.csv', own.text.replace(/,X,/g, ',Y,').replace(/^[0-9a-f]{16}/gm, '0000000000000000'), ['another study']);
  await said('#more-file', 'r.csv', own.text.replace(/,X,/g, ',Y,').replace(/,(quokka-7b|wombat-tuned),[1-5]/, ',$1,9'), ['line 2', '1 to 5']);
  assert.equal(await page.textContent('#results-body'), before);

  // One tab at a time.
  await page.click('#results-close');
  await page.waitForSelector('#start:not([hidden])');
  await begin(page, studyFile(3), 'Y');
  const other = await context.newPage();
  await other.goto(`${server.url}study.html`);
  await other.click('#kept-list li:has-text("Reader Y") button');
  await other.waitForSelector('#alert:not([hidden])');
  assert.match(await other.textContent('#alert-message'), /open in another tab/);
});

const FAKE = readFileSync(join(import.meta.dirname, 'lib/fake-engine.js'), 'utf8');
const double = (context) =>
  context.route('**/radllama.js', (route) => (route.request().url().includes('/pkg/') ? route.fallback() : route.fulfill({ contentType: 'text/javascript', body: FAKE })));

test('a study is written on the spot by two adapters, over a reload, and then begins', async (t) => {
  const { page } = await openStudy(t, {
    routes: async (context) => {
      await double(context);
      await context.addInitScript(() => (globalThis.fake = { loadMs: 40, msPerWord: 4 }));
    },
  });
  const findings = Array.from({ length: 8 }, (_, n) => JSON.stringify({ id: n, findings: `Findings ${n}`, impression: 'i' })).join('\n');
  await page.click('#make-open');
  await page.click('#make-begin');
  assert.match(await page.textContent('#make-problem'), /file of findings first/);
  await page.setInputFiles('#findings-file', { name: 'june.jsonl', mimeType: 'text/plain', buffer: Buffer.from(findings) });
  await page.waitForFunction(() => /8 reports/.test(document.getElementById('findings-about').textContent));
  await page.fill('#make-count', '5');
  await page.selectOption('#system-1-adapter', 'own');
  await page.click('#make-begin');
  assert.match(await page.textContent('#make-problem'), /the same/);
  await page.selectOption('#system-1-adapter', 'none');
  await picture(page, 'study-make');
  await page.click('#make-begin');
  await page.waitForFunction(() => /^[3-9] of 10/.test(document.getElementById('phase').textContent));
  await page.reload();
  await page.waitForSelector('#kept:not([hidden])');
  const written = Number(/(\d+) of 10/.exec(await page.textContent('#kept-list'))[1]);
  assert.ok(written >= 3, `${written} were kept`);
  await page.click('#kept-list button:has-text("Go on writing")');
  await page.waitForSelector('#reader[open]');
  const calls = await page.evaluate(() => globalThis.fake.calls.map(({ call, adapter }) => [call, adapter]));
  assert.equal(calls.filter(([call]) => call === 'impression').length, 10 - written, 'none is written twice');
  // The base alone wrote the second half: it was swapped to, or loaded so where the first was whole already.
  assert.ok(calls.some(([call, adapter]) => call !== 'impression' && adapter === null), JSON.stringify(calls));
  await page.keyboard.type('Q');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#rate:not([hidden])');
  assert.equal(await page.textContent('#where'), 'Report 1 of 5');
  assert.match(await page.textContent('.column'), /New patchy airspace opacity/);
  assert.equal(await page.evaluate(() => globalThis.radllama.sitting.begun.title), 'june');
});

const REAL = [
  { id: 'CXR-1041', findings: 'PA and lateral views of the chest. The cardiac silhouette is mildly enlarged, unchanged. There is a small left pleural effusion with adjacent left basilar atelectasis. A new patchy opacity is seen in the right lower lobe. No pneumothorax. Degenerative changes of the thoracic spine.', outputs: { 'model-a': '1. New right lower lobe opacity, concerning for pneumonia.\n2. Small left pleural effusion with basilar atelectasis.\n3. Stable mild cardiomegaly.', 'model-b': '1. Right lower lobe pneumonia.\n2. Small right pleural effusion.\n3. Cardiomegaly with pulmonary edema. Degenerative changes of the spine are noted, and there is no pneumothorax.' } },
  { id: 'CXR-1042', findings: 'The lungs are clear.', outputs: { 'model-a': 'No acute cardiopulmonary abnormality.', 'model-b': '' } },
];
const real = REAL.map((line) => JSON.stringify(line)).join('\n');

for (const [name, context] of Object.entries({
  dark: { colorScheme: 'dark', viewport: { width: 1440, height: 900 } },
  light: { colorScheme: 'light', viewport: { width: 1440, height: 900 } },
  phone: { colorScheme: 'dark', viewport: { width: 390, height: 844 } },
})) {
  test(`axe finds nothing in any state: ${name}`, async (t) => {
    const { page } = await openStudy(t, { context });
    const check = async (state) => {
      await page.evaluate(() => Promise.allSettled(document.getAnimations().filter(({ effect }) => effect.getTiming().iterations !== Infinity).map(({ finished }) => finished)));
      const { violations, passes } = await runAxe(page);
      const told = violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
      assert.deepEqual(told, [], state);
      assert.ok(passes.length > 15, `${state}: axe looked at something`);
    };
    const shot = (state) => picture(page, name === 'dark' ? `study-${state}` : `study-${state}-${name}`);
    await check('start');
    await shot('start');
    await page.click('#make-open');
    await check('make');
    await page.click('#make-cancel');
    await page.setInputFiles('#study-file', { name: 'June.jsonl', mimeType: 'text/plain', buffer: Buffer.from(real) });
    await page.waitForSelector('#reader[open]');
    await page.click('#reader-form .primary');
    await check('who reads, nobody');
    await page.keyboard.type('RW');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#rate:not([hidden])');
    if (/lungs are clear/.test(await page.textContent('#findings'))) {
      await page.keyboard.type('4444433333a');
      await page.keyboard.press('Enter');
    }
    await page.keyboard.type(name === 'phone' ? '54' : '5454523b');
    await check('rating');
    await shot('rating');
    await page.keyboard.press('?');
    await check('help');
    await page.keyboard.press('Escape');
    await page.click('#leave');
    if (await page.isVisible('#confirm')) await page.click('#confirm-no');
    await page.waitForSelector('#kept:not([hidden])');
    await check('kept');
    await page.click('#kept-list .danger');
    await check('a question');
    await page.click('#confirm-no');
    await page.setInputFiles('#study-file', { name: 'bad.csv', mimeType: 'text/csv', buffer: Buffer.from('a,b\n') });
    await page.waitForSelector('#alert:not([hidden])');
    await check('an error');
    await page.click('#alert-close');
    await begin(page, studyFile(3), 'Z');
    for (const _ of [1, 2, 3]) await answer(page, 1);
    await finish(page);
    await check('results');
    if (name !== 'dark') await shot('results');
  });
}
