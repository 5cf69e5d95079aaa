#!/usr/bin/env node
// radllama's page beside transformers.js in one browser on one adapter, and llama.cpp on one CPU
// thread: the same weights, the same prompt, greedy, runs in turn. See ../README.md.
//
//   node benches/peers/bench.mjs --model SmolLM2-135M-Instruct.Q4_1.gguf --site dist
//
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { serve } from './server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const { values: options } = parseArgs({
  options: {
    model: { type: 'string' }, //                          the GGUF that every peer runs
    site: { type: 'string' }, //                           folder of the built page; without it, no radllama row
    manifest: { type: 'string', default: 'weights/base.json' }, // of that model, from the page
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    tokens: { type: 'string' }, //                         new tokens a run
    repeat: { type: 'string', default: '3' },
    minimum: { type: 'string', default: 'round' }, //      round, exact or both: see build_onnx.py
    accuracy: { type: 'string', default: '0' }, //         MatMulNBits' accuracy_level
    device: { type: 'string', default: 'webgpu' }, //      transformers.js' device: webgpu or wasm
    python: { type: 'string' }, //                         one with llama-cpp-python; without it, no such row
    'onnx-python': { type: 'string' }, //                  one with gguf and onnx; without it, one is made
    work: { type: 'string', default: join(root, 'target/bench-peers') },
    json: { type: 'boolean', default: false },
  },
});
if (!options.model) fail('--model is needed: the GGUF that every peer runs');

const work = resolve(options.work);
const golden = JSON.parse(readFileSync(join(root, 'tests/goldens/smollm2_llama_cpp.json'))).prompts
  .find(({ name }) => name === 'tubes');
const prompt = golden.prompt_ids;
const repeat = Number(options.repeat);

installNode();
const models = (options.minimum === 'both' ? ['round', 'exact'] : [options.minimum]).map(buildOnnx);
const { chromium } = createRequire(join(work, 'package.json'))('playwright-core');

const server = await serve({
  '/npm/': join(work, 'node_modules'), '/onnx/': join(work, 'onnx'), '/peers/': here,
  ...(options.site && { '/site/': resolve(options.site) }),
});
const profile = mkdtempSync(join(work, 'profile-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: options.chromium,
  headless: true,
  args: [
    '--no-sandbox', '--enable-unsafe-webgpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
  ignoreDefaultArgs: ['--disable-gpu'],
});
context.setDefaultTimeout(0);
const peers = [];
try {
  const adapter = await adapterOf();
  // f16 tells lavapipe from SwiftShader, which both call themselves swiftshader.
  const tokens = Number(options.tokens ?? (adapter.f16 ? 64 : 8));
  if (options.site) peers.push(await radllamaPage());
  for (const name of models) peers.push(await transformersPage(name));
  if (options.python) peers.push(llamaCpp());
  for (const peer of peers) {
    const begun = performance.now();
    await peer.load();
    peer.loadSecs = (performance.now() - begun) / 1000;
    peer.warm = await peer.generate(tokens); // pipelines, allocations
    if (peer.logits) {
      const some = await peer.logits(golden.f32.top_logits.map(([id]) => id));
      peer.logitError = Math.max(...some.map((value, i) => Math.abs(value - golden.f32.top_logits[i][1])));
    }
    process.stderr.write(`${peer.name}: loaded in ${peer.loadSecs.toFixed(1)} s, warm\n`);
    peer.runs = [];
  }
  for (let run = 0; run < repeat; run++) {
    for (const peer of peers) {
      peer.runs.push(await peer.generate(tokens));
      const { prefill, decode } = speed(peer.runs.at(-1));
      process.stderr.write(`run ${run + 1} ${peer.name}: ${prefill.toFixed(2)} ${decode.toFixed(3)}\n`);
    }
  }
  report(adapter, tokens);
} finally {
  for (const peer of peers) peer.end?.();
  await context.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}

function installNode() {
  mkdirSync(work, { recursive: true });
  copyFileSync(join(here, 'package.json'), join(work, 'package.json'));
  if (existsSync(join(work, 'node_modules/@huggingface/transformers'))) return;
  process.stderr.write(`installing transformers.js and playwright-core into ${work}\n`);
  // Its native parts (sharp, onnxruntime-node) are not used here: no install scripts.
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: work, stdio: ['ignore', 2, 2] });
}

/** The name, under /onnx/, of the model in one treatment of the minima; built where missing. */
function buildOnnx(minimum) {
  const wasm = options.device === 'wasm';
  const name = `${minimum}-${options.accuracy}${wasm ? '-wasm' : ''}`;
  const out = join(work, 'onnx', name);
  if (existsSync(join(out, 'generation_config.json'))) return name;
  let python = options['onnx-python'];
  if (!python) {
    python = join(work, 'venv/bin/python');
    if (!existsSync(python)) {
      execFileSync('python3', ['-m', 'venv', join(work, 'venv')], { stdio: ['ignore', 2, 2] });
      const pip = ['-m', 'pip', 'install', '-q', '-r', join(here, 'requirements.txt')];
      execFileSync(python, pip, { stdio: ['ignore', 2, 2] });
    }
  }
  process.stderr.write(`building the ONNX model (${name})\n`);
  execFileSync(python, [
    join(here, 'build_onnx.py'), '--model', options.model, '--out', out, '--minimum', minimum,
    '--accuracy-level', options.accuracy, ...(wasm ? ['--wasm'] : []),
  ], { stdio: ['ignore', 2, 2] });
  return name;
}

async function newPage(path) {
  const page = await context.newPage();
  page.on('pageerror', (error) => process.stderr.write(`${path}: ${error.message}\n`));
  if (process.env.VERBOSE) page.on('console', (message) => process.stderr.write(`${path}: ${message.text()}\n`));
  await page.goto(server.url + path);
  return page;
}

async function adapterOf() {
  const page = await newPage('/peers/transformers.html');
  const found = await page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const { vendor, architecture, description } = adapter.info;
    return { vendor, architecture, description, f16: adapter.features.has('shader-f16') };
  });
  await page.close();
  return found ?? fail('this browser has no WebGPU adapter');
}

async function transformersPage(name) {
  const page = await newPage('/peers/transformers.html');
  await page.waitForFunction(() => document.title === 'ready');
  return {
    name: `transformers.js ${options.device} q4 (${name})`,
    logits: (ids) => page.evaluate(([prompt, some]) => window.peer.logits(prompt, some), [prompt, ids]),
    load: () => page.evaluate(([model, device]) => window.peer.load(model, device), [name, options.device]),
    generate: (tokens) => page.evaluate(([ids, count]) => window.peer.generate(ids, count), [prompt, tokens]),
  };
}

/** The page's own client; times are the engine's where it gives them by token count. */
async function radllamaPage() {
  const page = await newPage('/site/');
  await page.waitForFunction(() => window.radllama);
  return {
    name: 'radllama, its page',
    load: () => page.evaluate((manifest) => window.radllama.load(manifest).then(() => null), options.manifest),
    generate: async (tokens) => {
      const result = await page.evaluate(
        async ([ids, count]) => {
          // Another prompt first: the engine would find all but the last token in its cache.
          await window.radllama.generate([0], { max_new_tokens: 1 });
          return window.radllama.generate(ids, { max_new_tokens: count, temperature: 0, ignore_eos: true });
        },
        [prompt, tokens],
      );
      if (result.ids.length < tokens) fail(`radllama ended after ${result.ids.length} of ${tokens} tokens`);
      return {
        ids: Array.from(result.ids),
        prefillSecs: prompt.length / result.timings.prefill_tokens_per_s,
        decodeSecs: (tokens - 1) / result.timings.decode_tokens_per_s,
      };
    },
  };
}

function llamaCpp() {
  const process_ = spawn(options.python, [join(here, 'llama_cpp_bench.py'), '--model', options.model, '--threads', '1'],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  return {
    name: 'llama.cpp CPU, 1 thread',
    load: async () => {},
    generate: async (tokens) => {
      process_.stdin.write(`${JSON.stringify({ ids: prompt, tokens })}\n`);
      const { value, done } = await lines.next();
      return done ? fail('llama.cpp ended') : JSON.parse(value);
    },
    end: () => process_.stdin.end(),
  };
}

function speed({ ids, prefillSecs, decodeSecs }) {
  return { prefill: prompt.length / prefillSecs, decode: (ids.length - 1) / decodeSecs };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** One table; ratios are against the first transformers.js row. */
function report(adapter, tokens) {
  const rows = peers.map(({ name, runs, warm, loadSecs, logitError }) => ({
    name, loadSecs, logitError, ids: runs[0].ids,
    first: speed(warm),
    prefill: median(runs.map((run) => speed(run).prefill)),
    decode: median(runs.map((run) => speed(run).decode)),
  }));
  const base = rows.find(({ name }) => name.startsWith('transformers'));
  const about = {
    adapter, tokens, prompt: prompt.length, repeat, chromium: options.chromium,
    cpus: cpus().length, load: loadavg().map((x) => Number(x.toFixed(1))), date: new Date().toISOString(),
  };
  if (options.json) return console.log(JSON.stringify({ ...about, rows }));
  console.log(`\n${prompt.length}-token prompt, ${tokens} new tokens, median of ${repeat} after one warm-up, in turn`);
  console.log(`adapter ${adapter.vendor} ${adapter.description}, f16 ${adapter.f16 ? 'yes' : 'no'}; ` +
    `${about.cpus} CPUs, load ${about.load.join(' ')}\n`);
  // The golden is llama.cpp in f32: how far a peer runs the same model.
  console.log('| | prefill tok/s | decode tok/s | prefill × | decode × | first run | ids as the golden | logit error |');
  console.log('|---|---|---|---|---|---|---|---|');
  for (const row of rows) {
    const shared = Math.min(row.ids.length, golden.f32.ids.length);
    const differs = row.ids.slice(0, shared).findIndex((id, i) => id !== golden.f32.ids[i]);
    console.log(`| ${row.name} | ${row.prefill.toFixed(1)} | ${row.decode.toFixed(3)} | ` +
      `${(row.prefill / base.prefill).toFixed(2)} | ${(row.decode / base.decode).toFixed(2)} | ` +
      `${row.first.prefill.toFixed(1)} / ${row.first.decode.toFixed(2)} | ` +
      `${differs < 0 ? shared : differs} of ${shared} | ${row.logitError?.toFixed(4) ?? ''} |`);
  }
}

function fail(message) {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(1);
}
