/**
 * The worker that reaches the network and the browser's storage. It brings the engine's own code and the
 * model, and never sees a report: it is ended when a model is loaded, before the first report is read.
 * serve.js says how it is talked to, pieces.js how the sealed worker talks to it while it loads.
 */
import {
  deleteAll, deleteEntry, deleteModel, evictOthers, openEntry, rememberModel, storedModel, storedModels,
} from './cache.js';
import { PieceStream } from './download.js';
import { RadllamaError, cancelled, typed } from './errors.js';
import { fetchManifest, get, manifestFiles } from './manifest.js';
import { handingOver, serve } from './serve.js';

/** Progress is told at most this often. */
const PROGRESS_MS = 50;

/** The sealed worker's source and its WebAssembly module. */
async function parts(_, { signal }) {
  const [source, module] = await Promise.all([
    get(new URL('./sealed.js', import.meta.url).href, { signal }).then((response) => response.text()),
    get(new URL('../pkg/radllama_bg.wasm', import.meta.url).href, { signal }).then(compiled),
  ]);
  return { source, module };
}

/** Compiles while it downloads, where the server names the type. */
async function compiled(response) {
  if (response.headers.get('Content-Type') === 'application/wasm') return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/**
 * Hands a model over, piece by piece, as the other end of the port asks for them.
 * @param {{ manifestUrl: string, cache: boolean, port: MessagePort }} args
 * @param {{ signal: AbortSignal }} context
 */
async function load({ manifestUrl, cache, port }, { signal }) {
  const manifest = fetchManifest(manifestUrl, signal);
  manifest.catch(() => {}); // whoever asks for it hears of it
  let round = null;
  const answers = {
    manifest: async () => ({ answer: { text: await manifest, url: manifestUrl } }),
    async begin({ adapter }) {
      const files = manifestFiles(await manifest, manifestUrl).filter((file) => adapter || !file.adapter);
      round = await Round.begin(files, cache, { signal, port });
      const answer = files.map(({ path, bytes, adapter: part }, i) => ({ path, bytes, adapter: part, begun: round.begun[i] }));
      return { answer, transfer: round.transfer() };
    },
    async next({ heads }) {
      const piece = await round.next(heads);
      if (!piece && cache) await rememberModel(JSON.parse(await manifest).name, round.files);
      return { answer: piece, transfer: round.transfer() };
    },
    async spoiled({ files }) {
      await round.end();
      for (const file of files) await deleteEntry(round.files[file].sha256);
      return { answer: true };
    },
  };
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve);
    port.onmessage = async ({ data }) => {
      if (data.ask === 'close') return resolve();
      try {
        const message = await answers[data.ask](data);
        port.postMessage(message, message.answer?.bytes ? [message.answer.bytes.buffer] : []);
      } catch (thrown) {
        const { code, message } = typed(thrown);
        port.postMessage({ error: { code, message } });
      }
    };
  });
  await round?.end(); // its files are closed: the next load may open them
}

/** One try at bringing all files. */
class Round {
  /** The files, and of each whether some of it had been stored. */
  files;
  begun;

  #entries;
  #stream;
  #pieces;
  #heads = [];
  #release = () => {};

  static async begin(files, cache, { signal, port }) {
    const round = new Round();
    round.files = files;
    // Another tab that loads the same model is let finish: its files are then stored for this one.
    if (cache) round.#release = await locked(`radllama-${files[0].sha256}`, signal);
    round.#entries = await openEntries(files, cache);
    round.begun = round.#entries.map((entry) => entry?.begun ?? false);
    let last = 0;
    round.#stream = new PieceStream(files, round.#entries, {
      signal,
      headComplete: (file) => Boolean(files[file].adapter) || round.#heads.includes(file),
      onProgress() {
        if (performance.now() - last < PROGRESS_MS) return;
        last = performance.now();
        port.postMessage({ transfer: round.transfer() });
      },
    });
    round.#pieces = round.#stream[Symbol.asyncIterator]();
    return round;
  }

  transfer() {
    const { cachedBytes, networkBytes } = this.#stream;
    return { totalBytes: this.files.reduce((sum, { bytes }) => sum + bytes, 0), cachedBytes, networkBytes };
  }

  /** @param {number[]} heads the files whose heads are complete */
  async next(heads) {
    this.#heads = heads;
    return (await this.#pieces.next()).value ?? null;
  }

  async end() {
    await this.#pieces.return?.();
    for (const entry of this.#entries) entry?.close();
    this.#entries = [];
    this.#release();
  }
}

/** Takes a lock that all tabs share; what gives it back. It goes with the worker in any case. */
function locked(name, signal) {
  return new Promise((resolve, reject) => {
    if (!navigator.locks) return resolve(() => {});
    const denied = () => (signal.aborted ? reject(cancelled()) : resolve(() => {})); // a frame without storage has no locks
    navigator.locks.request(name, { signal }, () => new Promise((release) => resolve(release))).catch(denied);
  });
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

/** An adapter's two files from a folder. @param {{ url: string }} args */
async function adapter({ url }, { signal }) {
  const folder = url.endsWith('/') ? url : `${url}/`;
  const file = async (name) => (await get(new URL(name, folder).href, { signal })).arrayBuffer();
  const [config, weights] = await Promise.all([file('adapter_config.json'), file('adapter_model.safetensors')]);
  return handingOver({ config, weights }, [config, weights]);
}

/**
 * What the manifest says and how much of the model is stored, without loading anything.
 * @param {{ manifestUrl: string }} args
 */
async function probe({ manifestUrl }, { signal }) {
  const text = await fetchManifest(manifestUrl, signal);
  const { name, notice = null } = parsed(text);
  return { name, notice, ...(await storedModel(manifestFiles(text, manifestUrl))) };
}

/** A manifest as far as a probe needs it. The engine is what checks it in full. */
function parsed(text) {
  try {
    const manifest = JSON.parse(text);
    if (typeof manifest.name === 'string' && Array.isArray(manifest.files)) return manifest;
  } catch {
    // Not JSON: told below.
  }
  throw new RadllamaError('bad_manifest', 'the manifest is not one: it has no name and no files');
}

/** Removes stored models: the one with these files, or all. @param {{ sha256?: string[] }} args */
async function deleteStored({ sha256 }) {
  await (sha256 ? deleteModel(sha256) : deleteAll());
}

serve({ parts, load, adapter, probe, stored: storedModels, deleteStored });
