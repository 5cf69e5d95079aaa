import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { runAxe } from './axe.js';

/** What the package's README asks of a strict host; `style-src` and `img-src` are for the host's own sheet and icon. */
export const STRICT_CSP =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'";

/** A page around the widget, as someone else would write it. */
export const hostPage = (body, lang = 'en') =>
  Buffer.from(`<!doctype html>
<html lang="${lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A host of the widget</title>
<link rel="icon" href="data:,">
<script type="module" src="/widget/widget.js"></script>
<body><main><h1>A host</h1>${body}</main></body>
</html>`);

/** The engine's stand-in, for tests of the widget's states alone. */
export const stubEngine = readFileSync(join(import.meta.dirname, '../fixtures/stub-engine.js'));

/**
 * Puts a host page with the widget on a server and opens it.
 * @param {import('playwright-core').Page} page
 * @param {import('./server.js').TestServer} server
 * @param {string} body
 * @param {{ stub?: object, path?: string, lang?: string }} [options] `stub`: settings of the stand-in,
 *   in place of the engine
 */
export async function visitHost(page, server, body, { stub, path = '/host.html', lang } = {}) {
  server.files.set(path, hostPage(body, lang));
  if (stub) {
    server.files.set('/radllama.js', stubEngine);
    await page.addInitScript((settings) => (globalThis.stub ??= settings), stub);
  }
  await page.goto(new URL(path, server.url).href);
  await page.waitForFunction(() => customElements.get('radiology-impression'));
}

/** Violations of the content security policy in a page and its frames, as they happen. */
export async function violations(page) {
  const found = [];
  await page.exposeFunction('reportViolation', (what) => found.push(what));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`${event.effectiveDirective} ${event.blockedURI}`);
    });
  });
  return found;
}

/** Runs axe in a page; what it finds wrong. @param {import('playwright-core').Page} page */
export async function axe(page) {
  const { violations } = await runAxe(page);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`);
}
