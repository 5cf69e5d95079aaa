import { ImpressionEngine, RadllamaError } from '../radllama.js';
import { $ } from '../app/dom.js';
import { formatBytes, formatLeft, speedMeter } from '../app/format.js';

/** The model of the batch: the default one, or that of the page's address. */
export class Model {
  /** @type {import('../index.d.ts').ImpressionEngine | null} */
  engine = null;
  /** Bytes to fetch; `null`: not known. @type {number | null} */
  leftBytes = null;
  #url;
  #context;

  /** @param {URLSearchParams} params */
  constructor(params) {
    this.#url = params.get('model') ?? undefined;
    this.#context = Number(params.get('context')) || undefined;
  }

  /** What is known before anything is fetched. @returns {Promise<string | null>} why nothing can run here */
  async look() {
    const support = await ImpressionEngine.supported();
    if (!support.supported) {
      this.#status('bad', 'WebGPU is missing');
      return support.reason;
    }
    const known = await ImpressionEngine.probe(this.#url).catch(() => null);
    this.leftBytes = known ? known.totalBytes - known.storedBytes : null;
    const more = known ? (this.leftBytes === 0 ? 'stored here' : `${formatBytes(this.leftBytes)} to download`) : '';
    if (!this.engine) this.#status('none', known?.name ?? 'No model', more);
    return null;
  }

  /**
   * The engine; loads the model if need be.
   * @param {AbortSignal} signal
   * @param {(phase: string, fraction?: number, left?: string) => void} tell
   */
  async get(signal, tell) {
    if (this.engine) return this.engine;
    const speed = speedMeter();
    this.#status('busy', 'Loading the model');
    try {
      const onProgress = (progress) => this.#tell(progress, speed, tell);
      const engine = await ImpressionEngine.load({ model: this.#url, contextTokens: this.#context, signal, onProgress });
      this.engine = engine;
      engine.lost.then(() => this.engine === engine && this.drop());
    } catch (error) {
      this.#status('none', 'No model loaded');
      await this.look();
      throw error instanceof RadllamaError ? error : new RadllamaError(error.code ?? 'internal', error.message);
    }
    this.leftBytes = 0;
    const { gpu, model } = this.engine.info;
    this.#status('ready', model.name, gpu.tier === 'cpu' ? 'on the processor' : gpu.name);
    return this.engine;
  }

  /** The engine is of no more use. */
  drop() {
    this.engine?.dispose();
    this.engine = null;
    this.#status('bad', 'No model loaded');
  }

  /** What a batch must not change in its middle. */
  get identity() {
    const { model } = this.engine.info;
    return { name: model.name, sha256: model.sha256, adapterSha256: model.adapter?.sha256 ?? null };
  }

  #tell({ phase, totalBytes, loadedBytes, networkBytes, pushedBytes, pipelines }, speed, tell) {
    if (phase === 'start') return tell('Starting');
    if (phase === 'prepare') return tell('Proving the program on this GPU', pipelines.total ? pipelines.done / pipelines.total : undefined);
    if (networkBytes > 0 && loadedBytes < totalBytes) {
      const left = formatLeft((totalBytes - loadedBytes) / speed(networkBytes));
      return tell(`Downloading the model, ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`, loadedBytes / totalBytes, left);
    }
    tell('Putting the model on the GPU', pushedBytes / totalBytes);
  }

  #status(state, text, more = '') {
    $('model-dot').dataset.state = state;
    $('model-status').textContent = text;
    $('model-device').textContent = more;
  }
}

/** Whether two models write the same. @param {ReturnType<Model['identity']>} a @param {ReturnType<Model['identity']>} b */
export const sameModel = (a, b) => a.adapterSha256 === b.adapterSha256 && a.sha256.join() === b.sha256.join();
