/**
 * The worker that owns the engine: the wasm module, the GPU device, the model and its cache.
 * client.js talks to it in messages:
 *
 *   → { id, method, args }            ← { id, event }*  then  { id, result } or { id, error }
 *   → { id, cancel: true }
 *
 * An error crosses as `{ code, message, fatal, loaded }`: `fatal` means that this worker is of no more
 * use, `loaded` whether it still has a model.
 */
import init, { CancelToken, Gpu, ModelLoader } from '../pkg/radllama.js';
import { deleteAll, deleteEntry, evictOthers, openEntry, storedBytes } from './cache.js';
import { PieceStream } from './download.js';
import { RadllamaError, throwIfCancelled, typed } from './errors.js';
import { requestSubgroups } from './gpu-features.js';
import { fetchManifest, manifestFiles } from './manifest.js';

/** Bytes handed to the engine between two waits for the GPU queue. */
const FLUSH_BYTES = 32 * 1024 * 1024;
/** Progress is told at most this often. */
const PROGRESS_MS = 50;

// What leaves the device of no use: it remembers its first fault.
const LOST = new Set(['device_lost', 'device_refused', 'out_of_memory']);
// What a push may fail with that other bytes would not mend.
const NOT_THE_BYTES = new Set([...LOST, 'internal', 'limit_too_small']);

let wasm; // the promise of the module's exports, memory among them
/**
 * The open device: `{ gpu, adapter, formats, tested, pipelines: { done, total }, onTested }`, where
 * `tested` is the promise of the last test, which was for models with weights in `formats`.
 */
let device = null;
let engine = null;

const methods = { load, impression, generate, info, setAdapter, dropAdapter, probe, deleteStored };
// One at a time: they share the engine.
const queued = new Set(['load', 'impression', 'generate', 'info', 'setAdapter', 'dropAdapter']);
let tail = Promise.resolve();
const calls = new Map();

self.onmessage = async ({ data: { id, method, args, cancel } }) => {
  if (cancel) return calls.get(id)?.abort();
  const control = new AbortController();
  calls.set(id, control);
  const { signal } = control;
  const report = (event) => self.postMessage({ id, event });
  const start = () => (throwIfCancelled(signal), methods[method](args, { signal, report }));
  try {
    const running = queued.has(method) ? tail.then(start) : start();
    if (queued.has(method)) tail = Promise.resolve(running).catch(() => {});
    self.postMessage({ id, result: await running });
  } catch (thrown) {
    const { code, message } = typed(thrown);
    if (LOST.has(code)) forgetDevice();
    // After a trap the module's memory is in no known state.
    const fatal = thrown instanceof WebAssembly.RuntimeError;
    self.postMessage({ id, error: { code, message, fatal, loaded: engine !== null } });
  } finally {
    calls.delete(id);
  }
};

/**
 * Loads a model: opens the GPU and brings the files from the cache or the network to it. As soon as
 * the files' heads tell which kernels the model needs, those are compiled and proved beside that.
 * @param {{ manifestUrl: string, contextTokens?: number, cache?: boolean }} args
 */
async function load({ manifestUrl, contextTokens, cache = true }, { signal, report }) {
  engine?.free();
  engine = null;
  report({ type: 'progress', phase: 'start' });
  const { memory } = await (wasm ??= init());
  device ??= await openDevice();
  throwIfCancelled(signal);
  const manifest = await fetchManifest(manifestUrl, signal);

  const started = performance.now();
  const attempt = () => tryLoad({ manifest, manifestUrl, contextTokens, cache }, { signal, report });
  let loaded = await attempt();
  // The cache held what it should not and has lost it now, so the file comes from the network. One
  // such round a file at most: what is fetched and still wrong is an error.
  while (loaded.spoiled) loaded = await attempt();
  engine = loaded.engine;
  return {
    ...info(),
    load: {
      ...loaded.bytes,
      loadMs: performance.now() - started,
      wasmBytes: memory.buffer.byteLength, // wasm memory never shrinks: this is its peak
    },
  };
}

/**
 * One try at a load. A file that the engine refuses loses its cache entry; `{ spoiled: true }` means
 * that one was there before, so that fetching the file anew may help.
 */
async function tryLoad({ manifest, manifestUrl, contextTokens, cache }, { signal, report }) {
  const mine = device;
  const loader = new ModelLoader(mine.gpu, manifest, contextTokens);
  const files = manifestFiles(manifest, manifestUrl);
  const entries = await openEntries(files, cache);
  const stream = new PieceStream(files, entries, {
    signal,
    onProgress: () => progress.tell(),
    headComplete: (file) => Boolean(files[file].adapter) || loader.headComplete(file),
  });
  const wasStored = entries.map((entry) => entry?.begun ?? false);
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const transfer = () => ({
    totalBytes,
    cachedBytes: stream.cachedBytes,
    networkBytes: stream.networkBytes,
    loadedBytes: stream.cachedBytes + stream.networkBytes,
  });
  const adapter = { config: [], weights: [] }; // their pieces: small enough to wait for the whole
  let pushedBytes = 0;
  const progress = throttled(() => {
    const phase = pushedBytes === totalBytes ? 'prepare' : 'load';
    report({ type: 'progress', phase, ...transfer(), pushedBytes, pipelines: mine.pipelines });
  });
  mine.onTested = progress.tell;
  let tested = null;
  let selfTestFailure = null;

  let owned = true;
  let refused = null; // { spoiled: indices of the files that may be damaged, error }
  try {
    progress.now();
    let unflushed = 0;
    for await (const { file, bytes } of stream) {
      if (selfTestFailure) throw selfTestFailure;
      try {
        if (files[file].adapter) adapter[files[file].adapter].push(bytes);
        else loader.push(file, bytes);
        if (pushedBytes + bytes.length === totalBytes && adapter.weights.length > 0) {
          loader.setAdapter(joined(adapter.config), joined(adapter.weights));
        }
      } catch (error) {
        const { code } = typed(error);
        // Damage in one file's head can show first when another's is held against it.
        const both = (other) => files[file].adapter && files[other].adapter; // checked together
        const spoiled = [...files.keys()].filter(
          (other) => code !== 'hash_mismatch' || other === file || both(other),
        );
        if (!NOT_THE_BYTES.has(code)) refused = { spoiled, error };
        throw error;
      }
      if (!tested && loader.formats()) {
        tested = selfTest(mine, loader.formats());
        tested.catch((error) => (selfTestFailure = error));
      }
      pushedBytes += bytes.length;
      unflushed += bytes.length;
      if (unflushed >= FLUSH_BYTES) {
        unflushed = 0;
        await loader.flush();
      }
      progress.tell();
      await macrotask(); // lets a cancel message in
    }
    await loader.flush();
    progress.now();
    await tested;
    throwIfCancelled(signal);
    owned = false; // from here the engine owns what the loader held
    return { engine: await loader.finish(), bytes: transfer() };
  } catch (error) {
    if (owned && !(error instanceof WebAssembly.RuntimeError)) loader.free();
    if (!refused) throw error;
  } finally {
    mine.onTested = () => {};
    for (const entry of entries) entry?.close();
  }
  for (const file of refused.spoiled) await deleteEntry(files[file].sha256);
  if (refused.spoiled.some((file) => wasStored[file])) return { spoiled: true };
  throw refused.error;
}

/** Pieces as one array. @param {Uint8Array[]} pieces */
function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function openEntries(files, cache) {
  if (!cache) return files.map(() => null);
  const open = () => Promise.all(files.map(({ sha256, bytes }) => openEntry(sha256, bytes)));
  const entries = await open();
  if (!entries.includes(null)) return entries;
  // No room for all of it, perhaps because of models used before.
  for (const entry of entries) entry?.close();
  await evictOthers(files.map(({ sha256 }) => sha256));
  return open();
}

async function openDevice() {
  if (!navigator.gpu) {
    throw new RadllamaError('no_adapter', `no GPU adapter was found; ${missingHint()}`);
  }
  // The engine asks for its own adapter; this one tells what the engine cannot see.
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  const gpu = await Gpu.open(adapter?.features.has('subgroups') ?? false);
  const { vendor, architecture } = adapter?.info ?? {};
  const pipelines = { done: 0, total: 0 };
  return { gpu, adapter: { vendor, architecture }, formats: [], tested: null, pipelines, onTested: () => {} };
}

/**
 * Compiles and proves the kernels for weights in `formats`, unless that has been done or begun. A
 * load that is cancelled leaves its test running for the next one.
 */
function selfTest(mine, formats) {
  if (mine.tested && formats.every((format) => mine.formats.includes(format))) return mine.tested;
  const before = mine.tested?.catch(() => {}); // the last one to end is the one that counts
  mine.formats = formats;
  mine.tested = Promise.resolve(before).then(() => {
    return mine.gpu.selfTest(formats, (done, total) => {
      mine.pipelines = { done, total };
      mine.onTested();
    });
  });
  // A device that failed its test is not kept: the next load asks for a new one.
  mine.tested.catch(() => device === mine && forgetDevice());
  return mine.tested;
}

function missingHint() {
  return self.isSecureContext
    ? 'this browser has no WebGPU in workers: use a current Chrome, Edge, Safari or Firefox'
    : 'WebGPU needs a secure page: open it over https or on localhost';
}

function forgetDevice() {
  engine?.free();
  engine = null;
  device = null; // not freed: a test of it may still be running
}

/** @param {{ findings: string, options?: object }} args */
function impression({ findings, options }, context) {
  return run(options, context, (...rest) => loaded().impression(findings, ...rest));
}

/** @param {{ promptIds: ArrayLike<number>, options?: object }} args */
function generate({ promptIds, options }, context) {
  return run(options, context, (...rest) => loaded().generate(Uint32Array.from(promptIds), ...rest));
}

/**
 * Puts a PEFT adapter beside the model, in place of the one before.
 * @param {{ config: ArrayBuffer | Uint8Array, weights: ArrayBuffer | Uint8Array }} args the bytes of
 *   adapter_config.json and adapter_model.safetensors
 */
async function setAdapter({ config, weights }) {
  await loaded().setAdapter(new Uint8Array(config), new Uint8Array(weights));
  return info();
}

/** Drops the adapter. */
async function dropAdapter() {
  await loaded().dropAdapter();
  return info();
}

async function run(options, { signal, report }, start) {
  const token = new CancelToken();
  signal.addEventListener('abort', () => token.cancel());
  return start(JSON.stringify(options ?? {}), token, report);
}

function loaded() {
  if (!engine) throw new RadllamaError('internal', 'no model is loaded');
  return engine;
}

function info() {
  return { gpu: { ...device.adapter, ...device.gpu.info() }, model: loaded().info() };
}

/**
 * What the manifest says and how much of the model is stored, without loading anything.
 * @param {{ manifestUrl: string }} args
 */
async function probe({ manifestUrl }, { signal }) {
  const text = await fetchManifest(manifestUrl, signal);
  const { name, notice } = JSON.parse(text);
  const files = manifestFiles(text, manifestUrl);
  const stored = await Promise.all(files.map(({ sha256, bytes }) => storedBytes(sha256, bytes)));
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  return { name, notice, totalBytes: sum(files.map(({ bytes }) => bytes)), storedBytes: sum(stored) };
}

/** Removes all stored models. */
async function deleteStored() {
  await deleteAll();
}

function throttled(report) {
  let last = -Infinity;
  const now = () => ((last = performance.now()), report());
  return { now, tell: () => performance.now() - last >= PROGRESS_MS && now() };
}

const { port1, port2 } = new MessageChannel();
const waiting = [];
port1.onmessage = () => waiting.shift()();
/** Lets the event loop turn once; a timer would cost 4 ms. */
function macrotask() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(null);
  });
}

requestSubgroups();
