// The kernels for GPUs, as Tint compiles them: 16-bit floats and subgroups, which SwiftShader in
// Chromium cannot show. Compiling them is not enough, so the engine's self-test runs here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { drivers } from './lib/paths.js';
import { test } from './lib/test.js';

function prove(driver, ...formats) {
  const script = join(import.meta.dirname, 'lib/prove-variants.js');
  const env = { XDG_RUNTIME_DIR: tmpdir(), ...process.env, VK_ICD_FILENAMES: drivers[driver] };
  return JSON.parse(execFileSync(process.execPath, [script, ...formats], { env, encoding: 'utf8' }));
}

test('the fastest variants compute rightly on lavapipe, for every weight format that has them', () => {
  const { tier, variants, passed_over } = prove('lavapipe', 'q4', 'q8', 'f16');
  assert.equal(tier, 'gpu');
  assert.deepEqual(passed_over, {}, 'nothing gave way to a slower variant');
  assert.equal(variants.matvec, 'subgroup');
  assert.equal(variants.matmul, 'f16');
});
