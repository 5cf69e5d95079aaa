import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { chromium as executablePath, screenshots } from './paths.js';
import { TestServer } from './server.js';

const ARGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
// Software adapters are behind this switch.
const WEBGPU = '--enable-unsafe-webgpu';
/** Arguments of a browser with WebGPU. */
export const WITH_WEBGPU = [...ARGS, WEBGPU];

/** How long a model may take to load, and to write, on a CPU. */
export const PATIENCE_MS = 240_000;

/**
 * A server and a browser with a fresh profile on a real directory, both gone when the test ends.
 * @param {{ after: (end: () => Promise<void>) => void }} t a test's context, or `{ after }` of a file
 * @param {{ webgpu?: boolean, server?: Partial<TestServer>, context?: object }} [options]
 */
export async function open(t, { webgpu = true, server: settings, context: more } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'radllama-test-'));
  const server = await TestServer.start(settings);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: webgpu ? WITH_WEBGPU : ARGS,
    ignoreDefaultArgs: ['--disable-gpu'],
    viewport: { width: 1280, height: 860 },
    serviceWorkers: 'block', // it would answer before a test's routes do; who tests it allows it
    ...more,
  });
  t.after(async () => {
    await context.close();
    await server.close();
    rmSync(profile, { recursive: true, force: true });
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = context.pages()[0] ?? (await context.newPage());
  page.on('pageerror', (error) => {
    throw new Error(`the page threw: ${error.stack}`);
  });
  return { server, context, page };
}

/**
 * Runs a function in the engine's two workers, before their own scripts.
 * @param {import('playwright-core').BrowserContext} context
 * @param {() => void} change it gets nothing from here: only its source is sent
 */
export async function changeWorkers(context, change) {
  await context.route(/engine\/(fetcher|sealed)\.js$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `(${change})();\n${await response.text()}` });
  });
}

/** The worker that reads reports, once the browser's driver knows of it. */
export async function sealedWorker(page) {
  for (;;) {
    const found = page.workers().find((worker) => worker.url().startsWith('blob:'));
    if (found) return found;
    await page.waitForTimeout(50);
  }
}

/** Opens the page with parameters in its address. */
export async function visit(page, server, params = {}) {
  await page.goto(`${server.url}?${new URLSearchParams(params)}`);
}

/** Waits until the page has nothing to do. */
export async function idle(page) {
  await page.waitForFunction(() => document.getElementById('stop').disabled);
}

/** Waits until a model is loaded and nothing is under way. */
export async function ready(page) {
  await page.waitForSelector('#model-dot[data-state="ready"]');
  await idle(page);
}

/** Presses the button and waits for the end; what the page then shows. */
export async function write(page) {
  await page.click('#generate');
  await idle(page);
  return shown(page);
}

/** What the page shows. */
export function shown(page) {
  return page.evaluate(() => {
    const text = (id) => {
      const element = document.getElementById(id);
      return element.closest('[hidden]') ? null : element.textContent;
    };
    const lines = [...document.querySelectorAll('#output li')].map(({ textContent }) => textContent);
    return {
      /** Its lines, recommendations last. */
      impression: lines.join('\n').trim(),
      error: text('alert-message'),
      code: text('alert-code'),
      advice: text('alert-advice'),
      stats: text('stats'),
      status: text('model-status'),
      unsupported: text('unsupported-reason'),
    };
  });
}

/**
 * Loads a model through the page's client; `{ info }` or `{ error: { code, message } }`, and all
 * progress events.
 * @param {{ manifest?: string, cancelWhen?: string, cache?: boolean, contextTokens?: number }} [options]
 *   `cancelWhen`: an expression over the progress event `p` that cancels the load once it is true
 */
export function load(page, { manifest = 'weights/base.json', cancelWhen, ...options } = {}) {
  return page.evaluate(
    async ({ manifest, cancelWhen, options }) => {
      const control = new AbortController();
      const cancels = cancelWhen && new Function('p', `return ${cancelWhen}`);
      const progress = [];
      const onProgress = (p) => {
        progress.push(p);
        if (cancels?.(p)) control.abort();
      };
      try {
        const info = await window.radllama.load(manifest, { ...options, signal: control.signal, onProgress });
        return { info, progress };
      } catch ({ code, message }) {
        return { error: { code, message }, progress };
      }
    },
    { manifest, cancelWhen, options },
  );
}

/** Takes a picture of the whole page. */
export async function picture(page, name) {
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true, animations: 'disabled' });
}
