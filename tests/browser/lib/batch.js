import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { open } from './browser.js';

/** What reports say, and what the double writes of it. */
const TEXTS = [
  ['The lungs are clear. The heart is normal in size.', 'No acute cardiopulmonary abnormality.'],
  ['The heart is enlarged. There is mild pulmonary vascular congestion.', 'Cardiomegaly with mild pulmonary vascular congestion.'],
  ['There is a patchy opacity in the right lower lobe. No pneumothorax.', 'Right lower lobe opacity, which may be pneumonia.'],
  ['A feeding tube ends in the stomach. The lungs are clear.', 'Feeding tube in the stomach. Clear lungs.'],
  ['Degenerative changes of the thoracic spine. No focal consolidation.', 'No acute disease.'],
];

/**
 * The double of the engine, writing by what the findings say: `LONG` does not fit, `LOST` loses the device (once),
 * `left` becomes a wrong side, which its guard flags.
 */
const ENGINE = `${readFileSync(join(import.meta.dirname, 'fake-engine.js'), 'utf8')}
const usual = ImpressionEngine.prototype.impression;
ImpressionEngine.prototype.impression = function (findings, options) {
  globalThis.asked?.(findings);
  fake.writeError = null;
  if (findings.includes('LONG')) fake.writeError = { code: 'prompt_too_long', message: 'the prompt has 9 tokens and the answer may have 9, but the context holds 9; shorten the findings' };
  if (findings.includes('LOST') && !fake.lost) {
    fake.lost = true;
    fake.writeError = { code: 'device_lost', message: 'the GPU was lost; load the model again' };
  }
  const wrong = findings.includes('left');
  fake.text = wrong ? 'Small right pleural effusion.' : findings.includes('😀') ? '😀 Clear lungs.' : (${JSON.stringify(TEXTS)}.find(([said]) => findings.startsWith(said))?.[1] ?? 'No acute disease.');
  const run = usual.call(this, findings, options);
  const flag = { kind: 'side', severity: 'hard', line: 0, start: 6, end: 11, message: 'the findings name the other side', findings: [findings.indexOf('left'), findings.indexOf('left') + 4] };
  const soft = { kind: 'unsupported', severity: 'soft', line: 0, start: 3, end: 8, message: 'lung: nothing in the findings is this', findings: [3, 6] };
  const guard = { lines: [{ text: fake.text, start: 0, end: fake.text.length, support: [[0, findings.length]] }], flags: wrong ? [flag] : findings.includes('😀') ? [soft] : [], acute: [] };
  const result = run.result.then((written) => ({ ...written, guard }));
  return { result };
};
ImpressionEngine.prototype.check = async () => ({ lines: [], flags: [], acute: [] });
`;

/**
 * The batch page over that double; the reading of files is the real one's.
 * @param {{ after: (end: () => Promise<void>) => void }} t
 * @param {{ fake?: object, context?: object, query?: string }} [options]
 */
export async function openBatch(t, { fake = {}, context: more, query = '' } = {}) {
  const opened = await open(t, { context: { colorScheme: 'dark', ...more } });
  const { context, page, server } = opened;
  const asked = [];
  await context.route('**/radllama.js', (route) => {
    if (route.request().url().includes('/pkg/')) return route.fallback();
    return route.fulfill({ contentType: 'text/javascript', body: ENGINE });
  });
  await context.exposeFunction('asked', (findings) => void asked.push(findings));
  await context.addInitScript((settings) => (globalThis.fake = settings), { stored: 108_197_745, loadMs: 50, msPerWord: 1, ...fake });
  await page.goto(`${server.url}batch.html${query}`);
  await page.waitForFunction(() => document.querySelector('#choose:not([hidden]), #work:not([hidden]), #elsewhere:not([hidden])'));
  return { ...opened, asked };
}

/** Chooses a file, which is made of this text or these bytes. */
export async function choose(page, name, content) {
  await page.setInputFiles('#file', { name, mimeType: 'text/plain', buffer: Buffer.from(content) });
  await page.waitForFunction(() => !document.getElementById('map').hidden && (document.getElementById('preview').textContent || !document.getElementById('map-problem').hidden));
}

/** Reads the chosen file into the page. */
export async function read(page) {
  await page.click('#read');
  await page.waitForSelector('#work:not([hidden])');
}

/** Waits until nothing is left. */
export const done = (page) => page.waitForFunction(() => globalThis.radllama.batch?.state === 'idle' && globalThis.radllama.batch.left === 0 && document.getElementById('phase').textContent === 'Done');

/** The file that a button saves. */
export async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
}

/** A table of so many reports, some of them with something to flag. */
export function table(rows) {
  const said = (row) => (row % 25 === 7 ? 'There is a small left pleural effusion.' : TEXTS[row % TEXTS.length][0]);
  const reference = (row) => (row % 25 === 7 ? 'Small left pleural effusion.' : row % 3 ? TEXTS[row % TEXTS.length][1] : 'No acute disease.');
  return `id,findings,impression\n${Array.from({ length: rows }, (_, at) => `CXR${at + 1},"${said(at + 1)}","${reference(at + 1)}"\n`).join('')}`;
}
