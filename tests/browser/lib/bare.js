import puppeteer from 'puppeteer-core';

import { WITH_WEBGPU } from './browser.js';
import { chromium } from './paths.js';

/**
 * A browser whose page has nothing of a driver in it, for measuring: what is wanted of it goes by the protocol.
 * @param {string} profile its directory
 * @returns {Promise<{ session: import('puppeteer-core').CDPSession, close: () => Promise<void> }>}
 */
export async function openBare(profile) {
  const browser = await puppeteer.launch({
    executablePath: chromium,
    userDataDir: profile,
    args: WITH_WEBGPU,
    ignoreDefaultArgs: ['--disable-gpu'],
    defaultViewport: null,
  });
  const target = await browser.waitForTarget((target) => target.type() === 'page');
  return { session: await target.createCDPSession(), close: () => browser.close() };
}
