import { ImpressionEngine } from '../radllama.js';
import { $, say } from './dom.js';
import { formatBytes, formatLeft, speedMeter } from './format.js';

/** What is told before and during a load, and what then stands in the bar. */
export class Loading {
  /** Bytes that the chosen model still lacks; `null`: not known. @type {number | null} */
  leftBytes = null;

  /** @param {import('./session.js').Session} session @param {import('./details.js').Details} details */
  constructor(session, details) {
    this.session = session;
    this.details = details;
    session.addEventListener('state', () => !session.engine && session.state !== 'loading' && this.#showNone());
  }

  /**
   * What will happen and how large it is, before any of it does.
   * @param {import('../index.d.ts').Support} [support]
   * @returns {Promise<boolean>} whether the whole model is stored, and loads without a download
   */
  async showWelcome(support) {
    support ??= await ImpressionEngine.supported();
    const { model, label } = this.session.choice;
    // A manifest that is not there or not good is reported when the model is asked for.
    const known = typeof model === 'string' ? await ImpressionEngine.probe(model).catch(() => null) : null;
    if (this.session.engine || this.session.busy) return false;
    this.leftBytes = known ? known.totalBytes - known.storedBytes : null;
    if (known && this.leftBytes === 0) {
      this.#setStatus('none', known.name, 'stored here');
      return true;
    }
    const size = known ? formatBytes(this.leftBytes) : '';
    $('welcome').hidden = false;
    const first = known?.storedBytes ? `${formatBytes(known.storedBytes)} is here already; ${size} is left to download.` : size && `${size} is downloaded once and kept in this browser.`;
    $('welcome-1').textContent = first || 'The model is downloaded once and kept in this browser.';
    $('load-text').textContent = size ? `${known.storedBytes ? 'Go on with' : 'Download'} ${size}` : 'Load the model';
    const kept = support.storage.available;
    $('welcome-note').hidden = kept;
    $('welcome-note').textContent = 'This browser keeps no files for this page, as in some private windows: it works, but the model is fetched again next time.';
    if (!kept) $('welcome-1').textContent = `${size || 'The model'} is downloaded, for this visit only.`;
    this.#setStatus('none', known?.name ?? label, size ? `${size} to download` : '');
    return false;
  }

  /** Loads the chosen model with its progress on the page. */
  async run() {
    const { session } = this;
    const speed = speedMeter();
    $('welcome').hidden = $('placeholder').hidden = true;
    this.#setStatus('busy', 'Loading the model', '');
    this.show('Starting');
    say('Loading the model');
    try {
      await session.load((progress) => this.#showProgress(progress, speed));
      this.leftBytes = 0;
      this.showReady();
      say('The model is ready');
      await this.#checkKept();
      await this.details.showStored();
      this.details.sent.reset(); // from here on nothing is asked of any server
    } catch (error) {
      this.hide();
      $('model-dot').dataset.state = error.code === 'cancelled' ? 'none' : 'bad';
      $('model-status').textContent = 'No model loaded';
      await this.#after(error);
      throw error;
    } finally {
      this.hide();
    }
  }

  /** What is left, for the button that goes on with it. */
  async #after(error) {
    const { model } = this.session.choice;
    if (typeof model !== 'string') return;
    const known = await ImpressionEngine.probe(model).catch(() => null);
    this.leftBytes = known ? known.totalBytes - known.storedBytes : null;
    if (error.code !== 'cancelled' || !$('output').hidden) return;
    await this.showWelcome();
    $('model-status').textContent = 'No model loaded';
  }

  /** Whether storage refused or ended: then the next visit fetches again, and the user should know. */
  async #checkKept() {
    const { model } = this.session.choice;
    const { load } = this.session.engine.info;
    const notice = this.session.engine.info.model.notice ?? '';
    $('caution').hidden = notice === '';
    $('caution').textContent = notice;
    $('not-kept').hidden = true;
    if (typeof model === 'string' && load.networkBytes > 0) {
      const known = await ImpressionEngine.probe(model).catch(() => null);
      if (known && known.storedBytes < known.totalBytes) {
        $('not-kept').hidden = false;
        $('not-kept').textContent = 'The browser’s storage is full or refused: the model works now, and is fetched again next time.';
      }
    }
  }

  #showProgress({ phase, totalBytes, loadedBytes, cachedBytes, networkBytes, pushedBytes, pipelines }, speed) {
    if (phase === 'start') return this.show('Starting');
    if (phase === 'prepare') {
      const { done, total } = pipelines;
      return this.show('Proving the program on this GPU', `${done} of ${total} kernels`, total ? done / total : undefined);
    }
    const local = typeof this.session.choice.model !== 'string';
    if (networkBytes > 0 && loadedBytes < totalBytes) {
      const rate = speed(networkBytes);
      const left = formatLeft((totalBytes - loadedBytes) / rate);
      const pace = Number.isFinite(rate) ? ` · ${formatBytes(rate)}/s` : '';
      const cached = cachedBytes > 0 ? `${formatBytes(cachedBytes)} were stored here` : '';
      this.show('Downloading the model', `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}${pace}`, loadedBytes / totalBytes, left, cached);
      $('resume-note').hidden = false;
    } else {
      const phase = local ? 'Reading the model from disk' : 'Putting the model on the GPU';
      const cached = !local && cachedBytes === totalBytes ? 'from this browser’s storage' : '';
      this.show(phase, `${formatBytes(pushedBytes)} of ${formatBytes(totalBytes)}`, pushedBytes / totalBytes, '', cached);
    }
  }

  /** Without a fraction the bar shows only that something happens. */
  show(phase, amount = '', fraction, left = '', cached = '') {
    $('progress').hidden = false;
    $('resume-note').hidden = true;
    $('phase').textContent = phase;
    $('amount').textContent = amount;
    $('left').textContent = left;
    $('cached').textContent = cached;
    if (fraction === undefined) $('bar').removeAttribute('value');
    else $('bar').value = fraction;
  }

  hide() {
    $('progress').hidden = true;
  }

  showReady() {
    const { gpu, model, sealed } = this.session.engine.info;
    this.#setStatus('ready', model.name, gpu.tier === 'cpu' ? 'on the processor' : gpu.name);
    $('sealed').hidden = false;
    $('sealed-text').textContent = sealed ? 'Sealed' : 'Not sealed';
    $('sealed').title = sealed ? 'The part that reads reports cannot connect to anything' : 'This browser did not confirm that connections are refused';
    $('sealed').ariaLabel = `${$('sealed-text').textContent}: what is sent, and how that is measured`;
    this.details.showEngine();
  }

  #showNone() {
    $('sealed').hidden = true;
    this.details.showEngine();
    if ($('model-dot').dataset.state === 'ready') this.#setStatus('bad', 'No model loaded', '');
  }

  #setStatus(state, text, more) {
    $('model-dot').dataset.state = state;
    $('model-status').textContent = text;
    $('model-device').textContent = more;
    $('model-ready').textContent = state === 'ready' ? 'ready' : '';
  }
}
