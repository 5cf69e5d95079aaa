// The page that works through a file: every row once, whatever happens in between; bad files; one tab at a time.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { runAxe } from './lib/axe.js';
import { choose, done, openBatch, read, saved, table } from './lib/batch.js';
import { open, picture } from './lib/browser.js';
import { serveModel } from './lib/models.js';
import { root } from './lib/paths.js';
import { test } from './lib/test.js';

const lines = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));

test('300 reports, reloaded twice and crashed in the middle, end with every row once', async (t) => {
  const { page, asked } = await openBatch(t, { fake: { msPerWord: 4 } });
  await choose(page, 'reports.csv', table(300));
  await read(page);
  await page.click('#start');
  for (const at of [60, 140]) {
    await page.waitForFunction((at) => globalThis.radllama.batch.counts.done >= at, at);
    await page.reload();
    // It goes on by itself: the model is here, and it was at work.
    await page.waitForFunction(() => globalThis.radllama.batch?.state === 'running');
  }
  await page.waitForFunction(() => globalThis.radllama.batch.counts.done >= 200);
  assert.match(await page.textContent('#left'), /of 300 · .*left/);
  await picture(page, 'batch-running');
  // A crash: the page is gone without a word, in a tab of its own the next one finds the rows.
  const { context, server } = { context: page.context(), server: new URL(page.url()) };
  const other = await context.newPage();
  await page.close({ runBeforeUnload: false });
  await other.goto(server.href);
  await done(other);
  const { name, text } = await saved(other, '#save-jsonl');
  assert.equal(name, 'reports-impressions.jsonl');
  const written = lines(text);
  assert.deepEqual(written.map(({ row }) => row), Array.from({ length: 300 }, (_, at) => at + 1));
  assert.deepEqual(written.map(({ id }) => id), Array.from({ length: 300 }, (_, at) => `CXR${at + 1}`));
  assert.ok(written.every(({ impression, timings }) => impression && timings.decode_ms > 0));
  // The row at hand is asked again after each of three ends, no other is.
  assert.ok(asked.length <= 300 + 3, `${asked.length} were asked`);
  const flagged = written.filter(({ flags }) => flags.length);
  assert.deepEqual(flagged.map(({ row }) => row), Array.from({ length: 12 }, (_, at) => at * 25 + 7));
  assert.match(await other.textContent('#scores'), /ROUGE-1 0\.\d+ .* mean of 300 rows/);
  await picture(other, 'batch-done');
});

test('a pause holds, also over a reload; filters, a row beside its findings, both files', async (t) => {
  const { page } = await openBatch(t, { fake: { msPerWord: 10 } });
  const rows = ['{"id": "a", "findings": "A small left pleural effusion is seen.", "reference": "Left effusion."}', '{"findings": "😀 clear, quite.", "prior": "None known."}', '{"id": "c", "findings": "LONG"}'];
  await choose(page, 'x.jsonl', `${rows.join('\n')}\n{"id": "d", "findings": "Clear."}\n`);
  await read(page);
  await page.click('#start');
  await page.waitForFunction(() => globalThis.radllama.batch.counts.done >= 1);
  await page.click('#pause');
  await page.waitForFunction(() => globalThis.radllama.batch.state === 'idle');
  const before = await page.evaluate(() => globalThis.radllama.batch.counts.done);
  await page.reload();
  await page.waitForSelector('#work:not([hidden])');
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => globalThis.radllama.batch.counts.done), before);
  assert.equal(await page.textContent('#start'), 'Resume');
  await page.click('#start');
  await done(page);

  await page.click('label:has-text("Hard flags")');
  await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 1);
  assert.match(await page.textContent('#rows'), /Small right pleural effusion.*side/);
  await page.click('label:has-text("Errors")');
  await page.waitForFunction(() => /context holds 9/.test(document.getElementById('rows').textContent));
  await page.click('label:has-text("All")');
  await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 4);
  await page.click('#rows tr button');
  await page.waitForSelector('#entry[open]');
  assert.deepEqual(await page.locator('#entry mark').allTextContents(), ['left', 'right']);
  await page.hover('.spoken');
  assert.deepEqual(await page.locator('#entry mark').allTextContents(), ['A small left pleural effusion is seen.', 'right']);
  await page.hover('#entry-title');
  assert.match(await page.textContent('#entry-body'), /the findings name the other side.*Left effusion\..*ROUGE-1/s);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => /^Row 2$/.test(document.getElementById('entry-title').textContent));
  assert.match(await page.textContent('#entry-body'), /None known\./);
  await page.keyboard.press('Escape');

  const [a, b, c, d] = lines((await saved(page, '#save-jsonl')).text);
  assert.deepEqual([a.flags[0].start, a.flags[0].end, a.flags[0].findings], [6, 11, [8, 12]]);
  assert.ok(a.rouge.rouge1 > 0 && a.rouge.rouge1 < 1);
  // Behind a character of two code units places are one less, as the command line counts.
  assert.deepEqual([b.id, b.flags[0].start, b.flags[0].end, b.flags[0].findings], ['2', 2, 7, [2, 5]]);
  assert.equal(c.error.code, 'prompt_too_long');
  assert.equal(d.impression, 'No acute disease.');
  const { name, text } = await saved(page, '#save-csv');
  assert.equal(name, 'x-impressions.csv');
  const [head, first, , third] = text.split('\r\n');
  assert.match(head, /^\ufeffid,row,impression,stop,hard_flags/);
  assert.match(first, /^a,1,Small right pleural effusion\.,eos,1,0,hard side: the findings name the other side,/);
  assert.match(third, /,prompt_too_long,"the prompt has/);
});

test('rows that cannot be used are told with their numbers before anything is written, and stop nothing', async (t) => {
  const { page, asked } = await openBatch(t);
  const bad = Buffer.concat([
    Buffer.from('id,findings\na,Clear.\nb,"SECRET\nc,Clear.\nd,x,y\na,Clear.\ne,\n'),
    Buffer.from('f,caf\xe9\n', 'latin1'),
    Buffer.from('g,Last.\n'),
  ]);
  await choose(page, 'bad.csv', bad);
  await read(page);
  await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 5);
  const told = (await page.locator('#rows tr').allTextContents()).join('\n');
  for (const words of [/^2.*row 2, line 3.*never closed/m, /^4.*row 4, line 5.*has 3 cells, the header 2/m, /^5a.*id a stands in bad\.csv, row 1/m, /^6e.*findings are empty/m, /^7.*row 7, line 8.*not UTF-8 at byte 6/m]) assert.match(told, words);
  assert.doesNotMatch(told, /SECRET/);
  assert.match(await page.textContent('#work-about'), /8 rows · 0 done · 5 errors/);
  await picture(page, 'batch-problems');
  assert.deepEqual(asked, []);
  await page.click('#start');
  await done(page);
  assert.deepEqual(asked, ['Clear.', 'Clear.', 'Last.']);
});

test('encodings, delimiters, columns of other names, and files of which nothing can be made', async (t) => {
  const { page } = await openBatch(t);
  const first = () => page.evaluate(async () => (await globalThis.radllama.store.entries([1]))[0].row);
  const again = async () => {
    await page.click('#delete');
    await page.click('#confirm-yes');
    await page.waitForSelector('#choose:not([hidden])');
  };
  await choose(page, 'a.csv', Buffer.from('Befund;Nr\nHerz gro\xdf;7\n', 'latin1'));
  assert.equal(await page.isDisabled('#read'), true);
  assert.match(await page.textContent('#map-problem'), /which column holds the findings/);
  await page.selectOption('[name="encoding"]', 'windows-1252');
  await page.waitForFunction(() => document.getElementById('preview').textContent.includes('groß'));
  await page.selectOption('[data-role="findings"]', 'Befund');
  await page.selectOption('[data-role="id"]', 'Nr');
  await picture(page, 'batch-columns');
  await read(page);
  assert.deepEqual(await first().then(({ id, findings }) => [id, findings]), ['7', 'Herz groß']);
  await again();
  await choose(page, 'b.csv', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('findings\tid\nClear é\t1\n', 'utf16le')]));
  await read(page);
  assert.equal((await first()).findings, 'Clear é');
  await again();
  for (const [name, content, words] of [
    ['empty.csv', '', /Nothing in this file/],
    ['head.csv', 'id,"findings\n', /header.*never closed/],
    ['half.jsonl', '[1]\n', /Nothing in this file/],
  ]) {
    await choose(page, name, content);
    await page.waitForFunction(() => !document.getElementById('map-problem').hidden);
    assert.match(await page.textContent('#map-problem'), words, name);
    assert.equal(await page.isDisabled('#read'), true);
    await page.click('#map-cancel');
  }
  await choose(page, 'none.csv', 'id,findings\n');
  await page.click('#read');
  await page.waitForFunction(() => /holds no rows/.test(document.getElementById('map-problem').textContent));
});

test('a file of 50 MB is read without holding the page up', async (t) => {
  const { page } = await openBatch(t);
  const text = 'The heart is at its size. '.repeat(190);
  await choose(page, 'large.csv', `id,findings\n${Array.from({ length: 10_500 }, (_, at) => `${at},"${text}"\n`).join('')}`);
  await page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: 'longtask' });
  });
  await read(page);
  assert.match(await page.textContent('#work-about'), /^10500 rows/);
  const longest = await page.evaluate(() => globalThis.longest);
  t.diagnostic(`the longest task took ${Math.round(longest)} ms`);
  assert.ok(longest < 250, `${longest} ms`); // on a quiet machine under 50
  await page.click('#next');
  await page.waitForFunction(() => document.getElementById('range').textContent === '51–100 of 10500');
});

test('one tab at a time; the other takes over', async (t) => {
  const { page, context } = await openBatch(t, { fake: { msPerWord: 30 } });
  await choose(page, 'reports.csv', table(30));
  await read(page);
  await page.click('#start');
  await page.waitForFunction(() => globalThis.radllama.batch.counts.done >= 1);
  const second = await context.newPage();
  await second.goto(page.url());
  await second.waitForSelector('#elsewhere:not([hidden])');
  assert.equal(await second.isVisible('#work'), false);
  await page.close();
  await second.waitForSelector('#work:not([hidden])');
  await second.waitForFunction(() => globalThis.radllama.batch.state === 'running');
});

test('a lost device pauses; the next press loads the model again and goes on', async (t) => {
  const { page, asked } = await openBatch(t);
  await choose(page, 'x.csv', 'findings\nClear.\nLOST here\nClear.\n');
  await read(page);
  await page.click('#start');
  await page.waitForSelector('#alert:not([hidden])');
  assert.equal(await page.textContent('#alert-code'), 'device_lost');
  await page.evaluate(() => (globalThis.fake.lost = true));
  await page.click('#start');
  await done(page);
  assert.equal(await page.isVisible('#alert'), false);
  assert.deepEqual(asked, ['Clear.', 'LOST here', 'LOST here', 'Clear.']);
});

test('by the keyboard alone, from the file to the deletion', async (t) => {
  const { page } = await openBatch(t, { fake: { msPerWord: 5 } });
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.name || document.activeElement?.dataset.role);
  await choose(page, 'reports.csv', table(60));
  await page.waitForFunction(() => document.activeElement.dataset.role === 'findings');
  for (let tabs = 0; (await focused()) !== 'read' && tabs < 20; tabs++) await press('Tab');
  assert.equal(await focused(), 'read');
  await press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'start');
  await press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'pause');
  await done(page);
  await page.waitForFunction(() => document.activeElement.name === 'filter');
  await press('ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight');
  assert.equal(await page.isChecked('[value="hard"]'), true);
  await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 3);
  await press('Tab', 'Tab', 'Enter');
  await page.waitForSelector('#entry[open]');
  await press('ArrowRight', 'Escape');
  for (let tabs = 0; (await focused()) !== 'delete' && tabs < 30; tabs++) await press('Tab');
  await press('Enter');
  await page.waitForSelector('#confirm[open]');
  await press('Tab', 'Enter');
  await page.waitForSelector('#choose:not([hidden])');
  const kept = await page.evaluate(async () => {
    const { store } = globalThis.radllama;
    let marks = 0;
    for await (const some of store.marks()) marks += some.length;
    return [await store.job(), marks, (await store.entries([1]))[0].row];
  });
  assert.deepEqual(kept, [undefined, 0, undefined]);
});

for (const [name, context] of Object.entries({
  dark: { colorScheme: 'dark', viewport: { width: 1440, height: 900 } },
  light: { colorScheme: 'light', viewport: { width: 1440, height: 900 } },
  phone: { colorScheme: 'dark', viewport: { width: 390, height: 844 } },
})) {
  test(`axe finds nothing in any state: ${name}`, async (t) => {
    const { page } = await openBatch(t, { context });
    const check = async (state) => {
      await page.evaluate(() => Promise.allSettled(document.getAnimations().map(({ finished }) => finished)));
      const { violations } = await runAxe(page);
      assert.deepEqual(violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`)), [], state);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${state}: nothing stands out to the side`);
    };
    await check('no batch');
    await picture(page, `batch-choose-${name}`);
    await choose(page, 'reports.csv', table(60).replaceAll('CXR9,', ','));
    await check('columns');
    await picture(page, `batch-columns-${name}`);
    await read(page);
    await check('before the start');
    await page.click('#start');
    await done(page);
    await page.click('label:has-text("All")');
    await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 50);
    await check('done');
    await picture(page, `batch-${name}`);
    await page.click('label:has-text("Hard flags")');
    await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 3);
    await page.click('#rows tr button');
    await page.waitForSelector('#entry[open]');
    await check('a row');
    await picture(page, `batch-row-${name}`);
  });
}

test('with the real engine: 300 rows written, checked and scored, over a reload in the middle', async (t) => {
  const ROWS = 300;
  const { page, server } = await open(t);
  const model = serveModel(server, { 'stories.gguf': readFileSync(join(root, 'tests/fixtures/stories15M-q8_0.gguf')) }, (manifest) => {
    manifest.template = 'report';
    delete manifest.adapter;
  });
  await page.goto(`${server.url}batch.html?model=${model}&max_new_tokens=4&beams=1`);
  await page.waitForSelector('#choose:not([hidden])');
  const said = ['Once there was a clear lung.', 'The heart was big.', 'The lungs were clear.'];
  const lines = Array.from({ length: ROWS }, (_, row) => `r${row + 1},"${said[row % 3]}",Clear.\n`);
  await choose(page, 'x.csv', `id,findings,impression\n${lines.join('')}`);
  await read(page);
  await page.click('#start');
  await page.waitForFunction((half) => globalThis.radllama.batch.counts.done >= half, ROWS / 2);
  const entries = (count) => page.evaluate((count) => globalThis.radllama.store.entries(Array.from({ length: count }, (_, row) => row + 1)), count);
  const before = await entries(ROWS / 2);
  await page.reload();
  await done(page);
  const after = await entries(ROWS);
  assert.deepEqual(after.slice(0, ROWS / 2), before, 'what was there was not written again');
  assert.equal(new Set(after.map(({ row }) => row)).size, ROWS, 'every row once');
  for (const { result } of after) {
    assert.ok(result.impression && result.tokens.generated === 4);
    assert.ok(Array.isArray(result.guard.flags) && result.rouge.length === 3);
  }
});
