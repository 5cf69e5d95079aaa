// Every shader, as it is assembled for every permutation, through Tint: naga does not check barrier
// uniformity, Chromium's compiler does. Dawn for Node runs it on both software drivers, so that
// 16-bit floats and subgroups are covered too.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { drivers, radllama } from './lib/paths.js';
import { test } from './lib/test.js';

const dir = mkdtempSync(join(tmpdir(), 'radllama-shaders-'));
after(() => rmSync(dir, { recursive: true, force: true }));

execFileSync(radllama, ['shaders', '--out', dir], { stdio: ['ignore', 'ignore', 'inherit'] });
const shaders = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8'));

/** Creates the pipelines on one driver, in a process of its own: a driver is chosen at start. */
function compile(driver, list = shaders) {
  const script = join(import.meta.dirname, 'lib/compile-shaders.js');
  const env = { XDG_RUNTIME_DIR: dir, ...process.env, VK_ICD_FILENAMES: drivers[driver] };
  const input = JSON.stringify(list.map((shader) => ({ ...shader, code: shader.code ?? readFileSync(join(dir, shader.file), 'utf8') })));
  return JSON.parse(execFileSync(process.execPath, [script], { env, input, encoding: 'utf8', maxBuffer: 1 << 28 }));
}

const needed = (shader) => shader.features ?? [];

test('the list of shaders is not empty and covers the faster tiers', () => {
  assert.ok(shaders.length > 0);
  for (const feature of ['shader-f16', 'subgroups']) {
    assert.ok(shaders.some((shader) => needed(shader).includes(feature)), `some shader uses ${feature}`);
  }
});

test('lavapipe creates every pipeline', () => {
  const { features, results } = compile('lavapipe');
  assert.ok(features.includes('shader-f16') && features.includes('subgroups'), 'the driver has both');
  assert.deepEqual(results.filter(({ error }) => error), []);
  assert.equal(results.filter(({ created }) => created).length, shaders.length);
});

test('SwiftShader creates every pipeline that it has the features for', () => {
  const { features, results } = compile('swiftshader');
  assert.deepEqual(results.filter(({ error }) => error), []);
  const possible = shaders.filter((shader) => needed(shader).every((feature) => features.includes(feature)));
  assert.ok(possible.length > 0);
  assert.equal(results.filter(({ created }) => created).length, possible.length);
});

test('a barrier in non-uniform control flow is caught', () => {
  const code = `@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
    if (i < 7u) { workgroupBarrier(); }
  }`;
  const [{ error }] = compile('lavapipe', [{ file: 'planted', code }]).results;
  assert.match(error, /uniform/);
});
