import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { PATIENCE_MS } from './browser.js';
import { drivers, radllama, www } from './paths.js';

/** The native program's answer with a manifest of `weights/`, on the driver that Chromium uses. */
export function native(manifest, ...args) {
  const env = { ...process.env, VK_ICD_FILENAMES: drivers.swiftshader };
  const run = { env, encoding: 'utf8', timeout: PATIENCE_MS };
  return JSON.parse(execFileSync(radllama, [...args, '--model', join(www, 'weights', manifest), '--json'], run));
}
