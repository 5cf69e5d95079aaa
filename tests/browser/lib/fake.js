import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { open, visit } from './browser.js';

const ENGINE = readFileSync(join(import.meta.dirname, 'fake-engine.js'), 'utf8');

/**
 * The page with a double of the engine: for what the page shows, not for what the engine does.
 * @param {{ after: (end: () => Promise<void>) => void }} t
 * @param {{ fake?: object, context?: object, params?: object, prepare?: (page: import('playwright-core').Page) => unknown }} [options]
 */
export async function openFake(t, { fake = {}, context: more, params, prepare } = {}) {
  const opened = await open(t, { context: { serviceWorkers: 'block', colorScheme: 'dark', ...more } });
  const { context, page, server } = opened;
  const served = (body) => ({ contentType: 'text/javascript', body });
  await context.route('**/radllama.js', (route) => route.fulfill(served(ENGINE)));
  await setFake(page, fake);
  await prepare?.(page);
  await visit(page, server, params);
  return opened;
}

/** Sets what the double does, from the next visit on. @param {import('playwright-core').Page} page @param {object} fake */
export const setFake = (page, fake) => page.addInitScript((settings) => (globalThis.fake = settings), fake);

/** What the page asked of the double. @param {import('playwright-core').Page} page @param {string} [call] */
export const calls = async (page, call) =>
  (await page.evaluate(() => globalThis.fake.calls)).filter((entry) => !call || entry.call === call);
