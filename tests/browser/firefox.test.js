// Firefox loads the page and writes the same text. Only results are looked at: WebGPU waits there by polling.
import assert from 'node:assert/strict';

import puppeteer from 'puppeteer-core';

import { PATIENCE_MS } from './lib/browser.js';
import { native } from './lib/native.js';
import { firefox } from './lib/paths.js';
import { TestServer } from './lib/server.js';
import { test } from './lib/test.js';

const FINDINGS = 'The heart is normal in size. There is a small right pleural effusion.';

test('Firefox writes the text that the native program writes, in a sealed worker', async (t) => {
  const expected = native('base.json', 'impression', '--findings', FINDINGS, '--max-new-tokens', '8');
  const server = await TestServer.start();
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: firefox,
    headless: true,
    protocolTimeout: PATIENCE_MS,
    extraPrefsFirefox: {
      'dom.webgpu.enabled': true,
      'dom.webgpu.workers.enabled': true,
      'gfx.webgpu.ignore-blocklist': true,
    },
  });
  t.after(() => Promise.all([browser.close(), server.close()]));
  const page = await browser.newPage();
  await page.goto(`${server.url}?model=none.json`);
  await page.waitForSelector('#findings');
  const { text, sealed } = await page.evaluate(async (findings) => {
    const { ImpressionEngine } = await import('/radllama.js');
    const engine = await ImpressionEngine.load({ model: 'weights/base.json' });
    const { text } = await engine.impression(findings, { maxNewTokens: 8 }).result;
    return { text, sealed: engine.info.sealed };
  }, FINDINGS);
  assert.equal(text, expected.text ?? expected.impression);
  assert.equal(sealed, true);
});
