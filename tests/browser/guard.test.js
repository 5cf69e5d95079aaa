// The guard in the browser: the real one, in the sealed worker.
import assert from 'node:assert/strict';

import { open, visit } from './lib/browser.js';
import { test } from './lib/test.js';

const BASE = 'weights/base.json';

async function start(t) {
  const opened = await open(t);
  await visit(opened.page, opened.server, { model: 'none.json' });
  await opened.page.evaluate(async () => Object.assign(window, await import('/radllama.js')));
  return opened;
}

test('without a model: places slice JavaScript strings, accents and emoji included, and nothing is sent', async (t) => {
  const { page, server, context } = await start(t);
  const findings = '😀 Étude du thorax. 😀😀 Right tension pneumothorax, 12 mm. No pleural effusion.';
  const impression = '1. 😀 Left pneumothorax of 21 mm, é 😀.\n2. Pleural effusion.\n3. Stable nodule.';
  // A client's first check starts its worker, which has to be fetched.
  await page.evaluate(() => Promise.all([window.ImpressionEngine.check('', ''), window.radllama.check('', '')]));
  const requests = [];
  context.on('request', (request) => requests.push(request.url()));
  const served = server.requests.length;
  const report = await page.evaluate(([a, b]) => window.ImpressionEngine.check(a, b), [findings, impression]);

  assert.deepEqual(report.lines.map(({ start, end }) => impression.slice(start, end)), report.lines.map(({ text }) => text));
  assert.deepEqual(report.lines.map(({ text }) => text), ['😀 Left pneumothorax of 21 mm, é 😀.', 'Pleural effusion.', 'Stable nodule.']);
  assert.deepEqual(report.lines[0].support.map((place) => findings.slice(...place)), ['😀😀 Right tension pneumothorax, 12 mm.']);
  const flagged = report.flags.map(({ kind, severity, line, start, end }) => [kind, severity, line, impression.slice(start, end)]);
  assert.deepEqual(flagged, [
    ['side', 'hard', 0, 'Left'],
    ['measurement', 'hard', 0, '21 mm'],
    ['negation', 'hard', 1, 'Pleural effusion'],
    ['comparison', 'soft', 2, 'Stable'],
    ['unsupported', 'soft', 2, 'nodule'],
  ]);
  const negation = report.flags.find(({ kind }) => kind === 'negation');
  assert.equal(findings.slice(...negation.findings), 'No pleural effusion.');
  const [acute] = report.acute;
  assert.deepEqual([acute.concept, acute.certain, acute.section], ['tension_pneumothorax', true, 'findings']);
  assert.match(findings.slice(acute.start, acute.end), /pneumothorax$/);

  const more = await page.evaluate(([a, b]) => Promise.all([
    window.ImpressionEngine.check(a, b, { prior: 'Chest radiograph of May.' }),
    window.ImpressionEngine.check(a, 'Right tension', { part: true }),
    window.ImpressionEngine.check(a, '\ud83d Right effusion \ude00', { prior: null }), // halves of pairs
    window.radllama.check(a, b),
    window.ImpressionEngine.check(a, b, { signal: AbortSignal.abort() }).catch(({ name, code }) => [name, code]),
  ]), [findings, impression]);
  assert.ok(!more[0].flags.some(({ kind }) => kind === 'comparison'));
  assert.ok(!more[1].flags.some(({ kind }) => kind === 'degenerate'));
  assert.equal(more[2].lines[0].end, '\ud83d Right effusion \ude00'.length);
  assert.deepEqual(more[3], report);
  assert.deepEqual(more[4], ['RadllamaError', 'cancelled']);
  await page.waitForTimeout(300);
  assert.deepEqual(requests, [], 'the browser asked for nothing');
  assert.deepEqual(server.requests.slice(served), [], 'the server heard nothing');
});

test('an impression is checked as it is written, and its result has the report; checks do not wait for it', async (t) => {
  const { page } = await start(t);
  const findings = 'The heart is normal in size. There is a small right pleural effusion.';
  const { events, result, whole, order } = await page.evaluate(async ({ findings, model }) => {
    const order = [];
    const engine = await window.ImpressionEngine.load({ model });
    const run = engine.impression(findings, { maxNewTokens: 24, beams: 1 });
    run.result.then(() => order.push('written'));
    const beside = engine.check(findings, 'Left effusion.').then(({ flags }) => order.push(flags[0].kind));
    const events = [];
    for await (const event of run) events.push(event);
    const result = await run.result;
    await beside;
    return { events, result, whole: await engine.check(findings, result.text), order };
  }, { findings, model: BASE });
  const checked = events.filter(({ guard }) => guard);
  assert.ok(checked.length > 0, 'while it was written');
  for (const { text, guard } of checked) {
    for (const line of guard.lines) assert.equal(text.slice(line.start, line.end), line.text);
  }
  assert.deepEqual(result.guard, whole);
  assert.ok(result.guard.lines.length > 0);
  assert.deepEqual(order, ['side', 'written']);
});
