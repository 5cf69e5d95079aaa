// The npm package as others get it: packed, installed and built by their tools, and served plain.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { before } from 'node:test';

import { apiDocs } from './lib/api-docs.js';
import { PATIENCE_MS, open } from './lib/browser.js';
import { STRICT_CSP, violations } from './lib/hosts.js';
import { root, target } from './lib/paths.js';
import { test } from './lib/test.js';

const modules = join(import.meta.dirname, 'node_modules');
const fixtures = join(import.meta.dirname, 'fixtures');
const { version } = JSON.parse(readFileSync(join(root, 'www/package.json'), 'utf8'));
const packed = join(target, 'npm', `radllama-${version}.tgz`);

before(() => assert.ok(existsSync(packed), `${packed} is missing: run cargo xtask package`));

/** Runs a program of node_modules in a folder; its output is in the error where it fails. */
function run(cwd, script, ...args) {
  try {
    return execFileSync(process.execPath, [join(modules, script), ...args], { cwd, encoding: 'utf8', stdio: 'pipe' });
  } catch ({ stdout, stderr }) {
    throw new Error(`${script} ${args.join(' ')} failed:\n${stdout}${stderr}`);
  }
}

/** A project with the packed package installed, and other packages linked; gone when the test ends. */
function install(t, from, linked = []) {
  const dir = mkdtempSync(join(tmpdir(), 'radllama-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(from, dir, { recursive: true });
  // Its dependencies are there already; npm is asked for the package alone.
  if (existsSync(join(dir, 'package.json'))) rmSync(join(dir, 'package.json'));
  writeFileSync(join(dir, 'package.json'), '{ "name": "host", "private": true, "type": "module" }');
  const npm = ['install', '--offline', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', packed];
  execFileSync('npm', npm, { cwd: dir, stdio: 'pipe', shell: process.platform === 'win32' });
  for (const name of linked) {
    mkdirSync(dirname(join(dir, 'node_modules', name)), { recursive: true });
    symlinkSync(join(modules, name), join(dir, 'node_modules', name), 'junction');
  }
  return dir;
}

/** Serves a folder under a path. */
function serve(server, dir, path) {
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    server.files.set(path + relative(dir, file).replaceAll('\\', '/'), readFileSync(file));
  }
}

test('it holds what it should, nothing else, within its budget', (t) => {
  assert.ok(statSync(packed).size < 2_000_000, `${statSync(packed).size} bytes`);
  const host = install(t, join(fixtures, 'types'));
  const installed = join(host, 'node_modules/radllama');
  const files = readdirSync(installed, { recursive: true });
  for (const file of ['radllama.js', 'index.d.ts', 'widget.d.ts', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'widget/widget.js', 'pkg/radllama_bg.wasm']) {
    assert.ok(files.includes(file), file);
  }
  assert.deepEqual(files.filter((file) => /gguf|safetensors|^(app|weights|examples)|\.tgz$/.test(file)), []);
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const condition of Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? entry : Object.values(entry)))) {
    assert.ok(existsSync(join(installed, condition)), condition);
  }
  assert.equal(manifest.version, /^version = "(.*)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))[1]);
});

test('its types hold under strict, with and without React', (t) => {
  const host = install(t, join(fixtures, 'types'), ['react', '@types/react', 'csstype']);
  const options = {
    strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, noEmit: true,
    preserveSymlinks: true, target: 'es2023', lib: ['es2023', 'dom', 'dom.iterable'], jsx: 'react-jsx', types: [],
  };
  for (const resolution of [{ module: 'nodenext' }, { module: 'esnext', moduleResolution: 'bundler' }]) {
    const config = { compilerOptions: { ...options, ...resolution }, include: ['*.ts', '*.tsx'] };
    writeFileSync(join(host, 'tsconfig.json'), JSON.stringify(config));
    run(host, 'typescript/bin/tsc', '-p', '.');
  }
  rmSync(join(host, 'react.tsx'));
  rmSync(join(host, 'node_modules/react'));
  rmSync(join(host, 'node_modules/@types'), { recursive: true });
  run(host, 'typescript/bin/tsc', '-p', '.');
});

test('a server can import it', (t) => {
  const host = install(t, join(fixtures, 'types'));
  const script = "const a = await import('radllama/widget'); const b = await import('radllama'); console.log(typeof a.RadiologyImpression, typeof b.ImpressionEngine.load)";
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: host, encoding: 'utf8' });
  assert.equal(output.trim(), 'function function');
});

test('a plain page uses it by an import map, and by a relative import', async (t) => {
  const host = install(t, join(fixtures, 'plain'));
  const { page, server } = await open(t);
  serve(server, host, '/host/');
  await page.goto(`${server.url}host/index.html`);
  await page.waitForFunction(() => globalThis.version && customElements.get('radiology-impression'));
  assert.equal(await page.evaluate(() => globalThis.version), version);
  const result = await page.evaluate(() => document.querySelector('radiology-impression').generate());
  assert.ok(result.text.trim().length > 0 && result.tokens.generated <= 4, JSON.stringify(result.tokens));
});

test('a fresh Vite and TypeScript app builds with it, and writes an impression under a strict policy', async (t) => {
  const host = install(t, join(fixtures, 'vite-app'));
  run(host, 'typescript/bin/tsc', '-p', '.');
  run(host, 'vite/bin/vite.js', 'build', '--logLevel', 'warn');
  const { page, server } = await open(t);
  serve(server, join(host, 'dist'), '/built/');
  server.headers = (path) => (path === '/built/index.html' ? { 'Content-Security-Policy': STRICT_CSP } : {});
  const violated = await violations(page);
  await page.goto(`${server.url}built/index.html`);
  page.setDefaultTimeout(PATIENCE_MS / 2);
  await page.waitForSelector('#stop:not(:empty)');
  assert.deepEqual(
    await page.evaluate(() => [document.getElementById('stop').textContent, document.getElementById('text').textContent.trim() !== '', document.querySelector('radiology-impression').info !== null]),
    ['length', true, true],
  );
  assert.deepEqual(violated, []);
  assert.ok(server.requests.every(({ path }) => /^\/(built|weights)\//.test(path)), 'all of it comes from the built app');
});

test('the React example checks and builds', (t) => {
  const host = install(t, join(root, 'www/examples/react'), ['react', 'react-dom', 'scheduler', '@types/react', 'csstype']);
  run(host, 'typescript/bin/tsc', '-p', '.', '--preserveSymlinks');
  run(host, 'vite/bin/vite.js', 'build', '--logLevel', 'warn');
  assert.ok(readdirSync(join(host, 'dist/assets')).some((name) => name.endsWith('.wasm')));
});

test('the reference in docs/api.md is that of the types', () => {
  const written = readFileSync(join(root, 'docs/api.md'), 'utf8');
  assert.equal(written, apiDocs(), 'run: node tests/browser/lib/api-docs.js');
});
