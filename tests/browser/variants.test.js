// The kernels for GPUs, as Tint compiles them: 16-bit floats and subgroups, which SwiftShader in
// Chromium cannot show. Compiling them is not enough, so the engine's self-test runs here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { drivers } from './lib/paths.js';
import { test } from './lib/test.js';

function prove(driver, ...words) {
  const script = join(import.meta.dirname, 'lib/prove-variants.js');
  const env = { XDG_RUNTIME_DIR: tmpdir(), ...process.env, VK_ICD_FILENAMES: drivers[driver] };
  return JSON.parse(execFileSync(process.execPath, [script, ...words], { env, encoding: 'utf8' }));
}

test('the variants for GPUs compute rightly on lavapipe, for every weight format that has them', () => {
  for (const [prefer, kernel] of [['subgroup', 'matvec'], ['f16', 'matmul'], ['base', 'matmul']]) {
    const { tier, variants, passed_over } = prove('lavapipe', prefer, 'q4', 'q8', 'f16', 'dh64');
    assert.equal(tier, 'gpu');
    assert.deepEqual(passed_over, {}, 'nothing gave way to another variant');
    assert.equal(variants[kernel], prefer);
  }
});
