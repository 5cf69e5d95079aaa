/**
 * The worker that reads reports: the wasm module, the GPU device and the model. It runs under a content
 * security policy that forbids every connection (seal.js), so it gets all it needs in messages: its module
 * from the client, the model's bytes from the fetcher through a port or as the user's own files.
 *
 * serve.js says how it is talked to. On a page its imports are laid together into one file (see
 * `cargo xtask page`), because under that policy nothing can be imported.
 */
import { CancelToken, ExportedFile, Gpu, Guard, ModelLoader, initSync, version } from '../pkg/radllama.js';
import { RadllamaError, cancelled, throwIfCancelled, typed } from './errors.js';
import { requestSubgroups } from './gpu-features.js';
import { FilePieces, RemotePieces } from './pieces.js';
import { closeRows, nextRows, openRows, peekRows, scoreRow } from './rows.js';
import { serve } from './serve.js';
import { beginStudy, makeStudy, readFindings, readerFile, reportStudy } from './studies.js';

/** Bytes handed to the engine between two waits for the GPU queue. */
const FLUSH_BYTES = 32 * 1024 * 1024;
/** Progress is told at most this often. */
const PROGRESS_MS = 50;
/** Between two checks of a text that is being written pass at least so many ms, and so many times what the last one took. */
const CHECK_PAUSE_MS = 40;
const CHECK_PAUSE = 10;

// What leaves the device of no use: it remembers its first fault.
const LOST = new Set(['device_lost', 'device_refused', 'out_of_memory']);
// What a push may fail with that other bytes would not mend.
const NOT_THE_BYTES = new Set([...LOST, 'internal', 'limit_too_small']);

let memory; // the module's
/**
 * The open device: `{ gpu, adapter, formats, tested, pipelines: { done, total }, onTested }`, where
 * `tested` is the promise of the last test, which was for models with weights in `formats`.
 */
let device = null;
let engine = null;
let guard = null;
/** Why there is no engine any more, if there was one. @type {RadllamaError | null} */
let gone = null;

/**
 * Takes the compiled module, and tries its own seal.
 * @param {{ module: WebAssembly.Module }} args
 */
async function start({ module }) {
  ({ memory } = initSync({ module }));
  return { version: version(), sealed: await isSealed() };
}

/** Whether the policy forbids to fetch and to import. The addresses name no host: nothing is sent. */
async function isSealed() {
  const refused = (attempt) => attempt.then(() => false, () => true);
  const tries = [fetch('data:,'), import('data:text/javascript,')];
  return (await Promise.all(tries.map(refused))).every(Boolean);
}

/**
 * Loads a model: opens the GPU and brings the bytes to it. As soon as the files' heads tell which
 * kernels the model needs, those are compiled and proved beside that.
 * @param {{ port?: MessagePort, files?: { name: string, file: Blob }[], adapter: boolean,
 *           contextTokens?: number, template?: string }} args
 *   `adapter`: whether the one that the manifest names is wanted
 */
async function load({ port, files, ...options }, { signal, report }) {
  engine?.free();
  engine = null;
  report({ type: 'progress', phase: 'start' });
  let tell = () => {};
  const pieces = files ? new FilePieces(files) : new RemotePieces(port, signal, () => tell());
  try {
    device ??= await openDevice();
    throwIfCancelled(signal);
    guard ??= new Guard(); // while bytes are on their way: reading its lexicon would hold up the first words
    const manifest = await pieces.manifest?.();
    const started = performance.now();
    const context = { ...options, pieces, manifest, files, signal, report, onTell: (now) => (tell = now) };
    let loaded = await tryLoad(context);
    // The cache held what it should not and has lost it now, so the file comes from the network. One
    // such round a file at most: what is fetched and still wrong is an error.
    while (loaded.spoiled) loaded = await tryLoad(context);
    engine = loaded.engine;
    const loadMs = performance.now() - started;
    // wasm memory never shrinks: this is its peak
    return { ...info(), load: { ...loaded.bytes, loadMs, wasmBytes: memory.buffer.byteLength } };
  } finally {
    pieces.close();
  }
}

function newLoader({ manifest, files, template, contextTokens, adapter }) {
  if (files) return ModelLoader.ofFiles(device.gpu, files.map(({ name }) => name), template, contextTokens);
  const loader = new ModelLoader(device.gpu, manifest.text, contextTokens);
  if (!adapter) loader.withoutAdapter();
  return loader;
}

/**
 * One try at a load. A file that the engine refuses loses its cache entry; `{ spoiled: true }` means
 * that one was there before, so that fetching the file anew may help.
 */
async function tryLoad(context) {
  const { pieces, signal, report, onTell } = context;
  const mine = device;
  const loader = newLoader(context);
  let owned = true;
  let refused = null; // { spoiled: indices of the files that may be damaged, error }
  let files = [];
  try {
    files = await pieces.begin(context.adapter);
    const { totalBytes } = pieces.transfer;
    const transfer = () => {
      const { cachedBytes, networkBytes, readBytes = cachedBytes + networkBytes } = pieces.transfer;
      return { totalBytes, cachedBytes, networkBytes, loadedBytes: readBytes };
    };
    let pushedBytes = 0;
    const progress = throttled(() => {
      const phase = pushedBytes === totalBytes ? 'prepare' : 'load';
      report({ type: 'progress', phase, ...transfer(), pushedBytes, pipelines: mine.pipelines });
    });
    onTell(progress.tell);
    mine.onTested = progress.tell;
    const adapter = { config: [], weights: [] }; // their pieces: small enough to wait for the whole
    let tested = null;
    let selfTestFailure = null;

    progress.now();
    let unflushed = 0;
    const heads = () => [...files.keys()].filter((file) => !files[file].adapter && loader.headComplete(file));
    for (let piece; (piece = await pieces.next(heads())); ) {
      throwIfCancelled(signal);
      if (selfTestFailure) throw selfTestFailure;
      const { file, bytes } = piece;
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
    await unlessCancelled(tested, signal);
    owned = false; // from here the engine owns what the loader held
    return { engine: await loader.finish(), bytes: transfer() };
  } catch (error) {
    if (owned && !(error instanceof WebAssembly.RuntimeError)) loader.free();
    if (!refused) throw error;
  } finally {
    mine.onTested = () => {};
  }
  await pieces.spoiled(refused.spoiled);
  if (refused.spoiled.some((file) => files[file].begun)) return { spoiled: true };
  throw refused.error;
}

/** Waits for a promise, but no longer than until a cancel. */
function unlessCancelled(promise, signal) {
  return new Promise((resolve, reject) => {
    const cancel = () => reject(cancelled());
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    Promise.resolve(promise).then(resolve, reject);
  });
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
  mine.tested.catch((error) => device === mine && forgetDevice(typed(error)));
  return mine.tested;
}

function missingHint() {
  return self.isSecureContext
    ? 'this browser has no WebGPU in workers: use a current Chrome, Edge, Safari or Firefox'
    : 'WebGPU needs a secure page: open it over https or on localhost';
}

/** @param {RadllamaError} why */
function forgetDevice(why) {
  gone = why;
  engine?.free();
  engine = null;
  device = null; // not freed: a test of it may still be running
}

/**
 * Writes an impression. The guard reads it as it grows: some deltas and drafts have a `guard` for the text
 * up to there, the result has the whole text's.
 * @param {{ findings: string, options?: object }} args
 */
async function impression({ findings, options }, context) {
  const prior = options?.prior;
  let text = '';
  let pauseUntil = 0;
  const report = (event) => {
    const { type } = event;
    if (type === 'delta' || type === 'draft') {
      text = type === 'draft' ? event.text : text + event.text;
      const now = performance.now();
      if (now >= pauseUntil) {
        event.guard = check({ findings, impression: text, prior, part: true });
        const took = performance.now() - now;
        pauseUntil = now + took + Math.max(CHECK_PAUSE_MS, CHECK_PAUSE * took);
      }
    }
    context.report(event);
  };
  const written = await run(options, { ...context, report }, (...rest) => loaded().impression(findings, ...rest));
  const part = written.stop === 'cancelled'; // the reader knows that it is unfinished
  const cut = written.stop === 'length';
  return { ...written, guard: check({ findings, impression: written.text, prior, part, cut }) };
}

/**
 * The guard's report on an impression. Needs no model, and does not wait for one that is writing.
 * @param {{ findings: string, impression: string, prior?: string, part?: boolean, cut?: boolean }} args
 */
function check({ findings, impression, prior, part = false, cut = false }) {
  guard ??= new Guard();
  return guard.check(findings, impression, prior, part, cut);
}

/**
 * A report as a file: `{ name, mime, bytes }`. Needs no model.
 * @param {{ report: object, format: string }} args
 */
function exporting({ report, format }) {
  const file = ExportedFile.of(JSON.stringify(report), format);
  const { name, mime } = file;
  const bytes = file.bytes();
  file.free();
  return { name, mime, bytes };
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
  if (!engine) throw gone ?? new RadllamaError('internal', 'no model is loaded');
  return engine;
}

function info() {
  return { gpu: { ...device.adapter, ...device.gpu.info() }, model: loaded().info() };
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

// A device that goes away is told at once, not with the next report.
requestSubgroups((message) => device && self.postMessage({ lost: message }));
serve(
  {
    start, load, impression, generate, info, setAdapter, dropAdapter,
    // without a model
    check, export: exporting, peekRows, openRows, nextRows, closeRows, scoreRow,
    beginStudy, makeStudy, readFindings, readerFile, reportStudy,
  },
  {
    queued: ['load', 'impression', 'generate', 'info', 'setAdapter', 'dropAdapter'],
    onError(code, message) {
      if (LOST.has(code)) forgetDevice(new RadllamaError(code, message));
      return { loaded: engine !== null };
    },
  },
);
