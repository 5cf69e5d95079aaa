// Saving a report: the engine's interface in the real page, whose bytes are the native program's, and the dialog.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runAxe } from './lib/axe.js';
import { open, picture, visit, write } from './lib/browser.js';
import { calls, openFake } from './lib/fake.js';
import { radllama } from './lib/paths.js';
import { test } from './lib/test.js';

const REPORT = {
  id: 'Zoë/1', time: '2026-11-27T10:30:00+01:00', studyTime: '2026-11-26', patient: { id: '7' },
  findings: 'Small left effusion | ^~\\&.\r\n\u00a0<b>🫁</b>', impression: '1. Effusion. 2. No pneumothorax.', recommendation: ['Radiograph.'], prior: 'May.',
  flags: [{ kind: 'side', severity: 'hard', line: 0, start: 0, end: 3, message: 'other side' }],
  acute: [{ concept: 'free_air', label: 'free air', certain: true, section: 'findings', start: 0, end: 1 }],
  communications: [{ label: 'pneumothorax', who: 'Dr. Weiß', when: '2026-11-27T10:20:00+01:00', how: 'phone' }],
  provenance: { origin: 'edited', software: 'radllama', version: '1', model: 'm', modelSha256: ['a1'.repeat(32)] },
};

/** The same report by the native program. */
function native(format) {
  const { studyTime: study_time, provenance: { modelSha256: model_sha256, ...provenance }, ...report } = REPORT;
  const folder = mkdtempSync(join(tmpdir(), 'radllama-export-'));
  try {
    const input = `${JSON.stringify({ ...report, study_time, provenance: { ...provenance, model_sha256 } })}\n`;
    execFileSync(radllama, ['export', '--format', format, '--out', join(folder, 'file')], { input });
    return readFileSync(join(folder, 'file'), 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('in a browser, without a model, an export has the bytes of the native program’s', async (t) => {
  const { page, server } = await open(t);
  await visit(page, server);
  const made = await page.evaluate(async (report) => {
    const { ImpressionEngine } = globalThis.radllama;
    const text = (bytes) => new TextDecoder().decode(bytes);
    const files = {};
    for (const format of ['text', 'markdown', 'fhir', 'hl7']) {
      const { name, mime, bytes } = await ImpressionEngine.export(report, format);
      files[format] = { name, mime, text: text(bytes) };
    }
    const failure = (...args) => ImpressionEngine.export(...args).then(() => null, ({ code, message }) => [code, message]);
    return {
      files,
      failures: [
        await failure(report, 'dicom'),
        await failure(report, 'pdf'),
        await failure({ ...report, impression: 'Secret\u0007' }, 'text'),
        await failure({ ...report, impression: [] }, 'text'),
        await failure({ ...report, time: 'now' }, 'fhir'),
        await failure({ ...report, findings: 5 }, 'hl7'),
      ],
      now: text((await ImpressionEngine.export({ impression: 'Normal.' }, 'hl7')).bytes),
    };
  }, REPORT);
  assert.deepEqual(
    Object.values(made.files).map(({ name, mime }) => [name.replace(/[0-9a-f]{8}/, '#'), mime.split(';')[0]]),
    [['Zo__1-#.txt', 'text/plain'], ['Zo__1-#.md', 'text/markdown'], ['Zo__1-#.fhir.json', 'application/fhir+json'], ['Zo__1-#.hl7', 'x-application/hl7-v2+er7']],
  );
  for (const [format, { text }] of Object.entries(made.files)) assert.equal(text, native(format), format);
  assert.deepEqual(made.failures.map(([code]) => code), ['bad_option', 'bad_option', 'bad_text', 'bad_data', 'bad_option', 'bad_data']);
  assert.equal(made.failures.some(([, message]) => message.includes('Secret')), false);
  assert.match(made.now, /^MSH\|\^~\\&\|radllama\|\|\|\|20\d{12}\+0000\|/);
});

/** A page with an impression on it. */
async function written(t, options) {
  const opened = await openFake(t, { fake: { msPerWord: 1 }, ...options });
  await opened.page.waitForFunction(() => document.getElementById('model-status').textContent !== 'Looking for a model');
  await opened.page.fill('#findings', 'Small right pleural effusion. No pneumothorax.');
  await write(opened.page);
  return opened;
}

test('Save asks for a format, by keyboard alone; the next time the last one is a key away', async (t) => {
  const { page } = await written(t);
  const { keyboard } = page;
  const checked = () => page.evaluate(() => document.activeElement.value);
  await keyboard.press('Alt+KeyS');
  await page.waitForSelector('#export-dialog[open]');
  assert.equal(await checked(), 'text');
  await keyboard.press('ArrowDown');
  await keyboard.press('ArrowDown');
  assert.equal(await checked(), 'fhir');
  const [fhir] = await Promise.all([page.waitForEvent('download'), keyboard.press('Enter')]);
  assert.equal(fhir.suggestedFilename(), 'impression.fhir.json');
  assert.match(readFileSync(await fhir.path(), 'utf8'), /^1\. New patchy/);
  await page.waitForSelector('#export-dialog', { state: 'hidden' });
  assert.equal(await page.textContent('#toast'), 'Saved as impression.fhir.json');
  await keyboard.press('Alt+KeyS');
  assert.equal(await checked(), 'fhir');
  await keyboard.press('Escape');
  await page.waitForSelector('#export-dialog', { state: 'hidden' });
});

test('the file says what was edited; numbers and names go into one file and no other', async (t) => {
  const { page } = await written(t);
  await page.locator('#edit').focus();
  await page.keyboard.press('Control+End');
  await page.keyboard.type('\nMine.');
  await page.click('#download');
  await page.click('#export-dialog summary');
  await page.fill('#export-dialog [name=id]', 'CXR 7');
  await page.fill('#export-dialog [name=family]', 'Doe');
  await page.fill('#export-dialog [name=study-time]', '2026-11-26');
  await Promise.all([page.waitForEvent('download'), page.click('#export-dialog button[type=submit]')]);
  await page.click('#download');
  assert.equal(await page.inputValue('#export-dialog [name=family]'), '');
  await Promise.all([page.waitForEvent('download'), page.click('#export-dialog button[type=submit]')]);
  const [first, second] = await calls(page, 'export');
  assert.deepEqual([first.report.id, first.report.patient.family, first.report.studyTime], ['CXR 7', 'Doe', '2026-11-26']);
  assert.deepEqual([second.report.id, second.report.patient.family], [null, null]);
  assert.equal(first.report.impression.at(-1), 'Mine.');
  assert.match(first.report.recommendation[0], /^Recommend/);
  assert.equal(first.report.findings, 'Small right pleural effusion. No pneumothorax.');
  assert.equal(first.report.provenance.origin, 'edited');
  assert.equal(first.report.provenance.modelSha256.length, 2);
  assert.equal(first.report.provenance.model, 'SmolLM2-135M-Instruct, 4-bit, with a radiology adapter');
});

test('flags go with the numbers of their lines, and who was told of an acute finding', async (t) => {
  const guard = {
    flags: [
      { kind: 'unsupported', severity: 'soft', words: 'Small right pleural effusion.', message: 'not in the findings' },
      { kind: 'unsupported', severity: 'soft', words: 'Recommend', message: 'of the recommendation' },
    ],
    acute: [{ concept: 'pneumothorax', label: 'pneumothorax' }],
  };
  const { page } = await written(t, { fake: { msPerWord: 1, guard } });
  await page.click('#acute-record');
  await page.fill('#told-who', 'Dr. Weiß');
  await page.fill('#told-when', '2026-11-27T10:20');
  await page.selectOption('#told-how', 'phone');
  await page.click('#download');
  await Promise.all([page.waitForEvent('download'), page.click('#export-dialog button[type=submit]')]);
  const [{ report }] = await calls(page, 'export');
  assert.deepEqual(report.flags.map(({ line, message }) => [line, message]), [[1, 'not in the findings'], [undefined, 'of the recommendation']]);
  assert.deepEqual(report.acute.map(({ concept }) => concept), ['pneumothorax']);
  const [{ who, when, how, concept }] = report.communications;
  assert.deepEqual([who, how, concept], ['Dr. Weiß', 'phone', 'pneumothorax']);
  assert.match(when, /^2026-11-27T10:20:00[+-]\d\d:\d\d$/);
});

test('what cannot be exported is said in the dialog, which stays', async (t) => {
  const exportError = { code: 'bad_text', message: 'the input (findings) has the control character U+0007 at character 3; it must be plain UTF-8 text' };
  const { page } = await written(t, { fake: { msPerWord: 1, exportError } });
  await page.click('#download');
  await page.click('#export-dialog button[type=submit]');
  await page.waitForSelector('#export-dialog .problem:not([hidden])');
  assert.match(await page.textContent('#export-dialog .problem'), /^The input \(findings\) has the control character/);
  assert.equal(await page.isVisible('#export-dialog'), true);
});

test('the dialog is accessible, dark and light, wide and narrow', async (t) => {
  for (const context of [{ colorScheme: 'dark' }, { colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 844 } }]) {
    const { page } = await written(t, { context });
    await page.click('#download');
    await page.click('#export-dialog summary');
    const { violations, passes } = await runAxe(page);
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
    assert.ok(passes.length > 10);
    await picture(page, `export-${context.viewport ? 'phone' : context.colorScheme}`);
  }
});
