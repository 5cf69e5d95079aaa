import { RadllamaError, typed } from '../engine/errors.js';
import { Guarded, beginGuard, readAgain, takeReport } from './guarded.js';
import { pool } from './pool.js';
import { Properties, findingsChanged, findingsOf, render, sourceChanged, sourceOf, wishesOf, wordsChanged } from './properties.js';
import { addTexts, languageOf, textsFor } from './texts.js';
import { View } from './view.js';

/** The element; see widget.d.ts for what each member does. */
export class RadiologyImpression extends Guarded {
  static addTexts = addTexts;

  static get graceMs() {
    return pool.graceMs;
  }
  static set graceMs(ms) {
    pool.graceMs = ms;
  }

  #view;
  #lang = 'en';
  #words = null;
  #formDisabled = false;
  #instructed = false;

  #text = '';
  #touched = false;
  #modelText = null;
  #ownText = null;
  #result = null;
  #info = null;
  #error = null;

  #phase = 'idle';
  #progress = null;
  #draft = false;
  /** `{ control, promise }` of a load and of a generation that are under way. */
  #loading = null;
  #run = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
    const quietly = (promise) => promise.catch(() => {}); // it was shown and fired as an event
    this.#view = new View(root, {
      generate: () => quietly(this.generate()),
      stop: () => this.stop(),
      instruct: () => this.#toggleInstruction(),
      modelText: () => this.#replace(this.#modelText),
      ownText: () => this.#replace(this.#ownText),
      copy: () => this.#copy(),
      edit: () => this.#edit(this.#view.text.value),
      editFindings: () => this[findingsChanged](),
      change: () => this.#changed(),
    });
    this[wordsChanged]();
  }

  connectedCallback() {
    super.connectedCallback();
    this.upgrade();
    this[wordsChanged](); // the language may be an ancestor's
    this.#preload();
  }

  /** `moveBefore` keeps everything as it is. */
  connectedMoveCallback() {}

  disconnectedCallback() {
    super.disconnectedCallback();
    // A host that only moves the element loses nothing.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.stop();
      pool.leave(this);
      this.#info = null;
    });
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === 'value' && !this.#touched) this.#setText(now ?? '');
    if (name === 'preload') this.#preload();
    this[Properties.changedBy(name)]();
  }

  formDisabledCallback(disabled) {
    this.#formDisabled = disabled;
    if (disabled) this.stop();
    this[render]();
  }

  formResetCallback() {
    this.stop();
    this.#touched = false;
    this.#modelText = this.#ownText = this.#result = this.#error = null;
    this[beginGuard]();
    this.#view.findings.value = this.#view.instruction.value = '';
    this.#setText(this.defaultValue);
    this.#phase = this.#rest();
    this[render]();
  }

  formStateRestoreCallback(state) {
    try {
      const { text, modelText } = JSON.parse(state);
      this.#touched = true;
      this.#modelText = modelText;
      this.#setText(String(text));
      this.#phase = this.#rest();
    } catch {
      return; // from another release
    }
    this[render]();
  }

  get value() {
    return this.#text;
  }
  set value(value) {
    this.#touched = true;
    this.#setText(String(value ?? ''));
    this[readAgain](this.#text);
    this[render]();
  }
  get state() {
    return this.#phase;
  }
  get busy() {
    return Boolean(this.#run ?? this.#loading);
  }
  get edited() {
    return this.#modelText !== null && this.#text !== this.#modelText;
  }
  get modelText() {
    return this.#modelText;
  }
  get result() {
    return this.#result;
  }
  get info() {
    return this.#info;
  }
  load() {
    if (this.#loading) return this.#loading.promise;
    const control = new AbortController();
    this.#loading = { control, promise: this.#load(control) };
    return this.#loading.promise;
  }

  generate(options = {}) {
    if (this.#run) return this.#run.promise;
    const run = { control: new AbortController() };
    this.#run = run;
    run.promise = this.#generate(run, options);
    return run.promise;
  }

  stop() {
    this.#loading?.control.abort();
    this.#run?.control.abort();
  }

  focus(options) {
    this.#view.text.focus(options);
  }

  async #load(control) {
    try {
      return (await this.#engine(control.signal)).info;
    } catch (error) {
      throw this.#failed(error);
    } finally {
      if (this.#loading?.control === control) this.#loading = null;
      if (!this.#run && this.#phase === 'loading') this.#phase = this.#rest();
      this[render]();
    }
  }

  /** The page's engine for what this element names. */
  async #engine(signal) {
    const known = this.#info;
    if (!known) {
      this.#error = null;
      this.#show('loading');
      this.#view.announce(this.#words.announceLoading);
    }
    const onProgress = (progress) => {
      const twice = this.#loading && this.#loading.control.signal !== signal; // the load tells it
      if (signal.aborted || twice) return;
      this.#show('loading', progress);
      this.#emit('progress', progress);
    };
    const engine = await pool.engine(this, sourceOf(this), { signal, onProgress });
    if (this.#info !== engine.info) {
      this.#info = engine.info;
      engine.lost.then(() => {
        if (this.#info !== engine.info) return;
        this.#info = null;
        if (!this.busy && this.#phase === 'ready') this.#show('idle');
      });
    }
    return engine;
  }

  async #generate(run, overrides) {
    const { signal } = run.control;
    let before = null; // what stood in the field when the first words came
    try {
      this.#error = null;
      const findings = findingsOf(this, this.#view.findings);
      if (!findings.trim()) throw new RadllamaError('empty_findings', 'there are no findings: enter them and try again');
      const engine = await this.#engine(signal);
      this.#show('waiting');
      this.#validate();
      const onPrefill = (done, total) => {
        this.#show('reading', { phase: 'read', done, total });
        this.#emit('progress', this.#progress);
      };
      const typedIn = this.#instructed ? this.#view.instruction.value.trim() : '';
      const writing = engine.impression(findings, { ...wishesOf(this, typedIn), ...overrides, signal, onPrefill });
      for await (const { text, delta, guard } of writing) {
        before ??= this.#begin(engine, findings);
        this[takeReport](guard, text, false);
        this.#draft = delta === null;
        this.#setText(text, true);
        this.#show('writing');
        this.#emit('delta', { text, delta });
      }
      const result = await writing.result;
      if (result.stop === 'cancelled' && result.text === '') {
        this.#phase = this.#rest();
        this.#view.announce(this.#words.announceStopped);
        return result; // what stood there stays
      }
      before ??= this.#begin(engine, findings);
      this.#finish(run, result);
      return result;
    } catch (thrown) {
      if (before !== null) this[readAgain](before);
      if (before) this.#setText(before); // half an impression is none
      throw this.#failed(thrown);
    } finally {
      if (this.#run === run) this.#run = null;
      this.#draft = false;
      this.#validate();
      this[render]();
    }
  }

  /** The first words are there: what stood in the field can be brought back. */
  #begin(engine, read) {
    const text = this.#text;
    this[beginGuard]({ engine, read, findings: () => findingsOf(this, this.#view.findings) });
    if (text !== '' && text !== this.#modelText) this.#ownText = text;
    this.#view.announce(this.#words.announceWriting);
    return text;
  }

  #finish(run, result) {
    this.#touched = true;
    this.#result = result;
    this.#modelText = result.text;
    this.#run = null; // before the text becomes the form's
    this.#setText(result.text);
    this[takeReport](result.guard, result.text);
    this.#show('done');
    this.#view.announce(result.stop === 'cancelled' ? this.#words.announceStopped : this.#words.announceWritten, this.guard);
    this.#emit('impression', { text: result.text, result, guard: result.guard, engine: this.#info });
    this.#changed();
  }

  /** Shows a failure and fires it; one that the user wished is no failure. */
  #failed(thrown) {
    const error = typed(thrown);
    if (error.code === 'cancelled') {
      this.#phase = this.#rest();
      this.#view.announce(this.#words.announceStopped);
    } else if (this.#error !== error) {
      this.#error = error;
      this.#show('error');
      this.#emit('error', { code: error.code, message: error.message });
    }
    return error;
  }

  #preload() {
    if (this.preload && this.isConnected && !this.#info) this.load().catch(() => {});
  }

  /** Another model or adapter: the engine is let go, and looked for at the next use. */
  [sourceChanged]() {
    const used = this.busy || this.#info;
    this.stop();
    pool.leave(this);
    this.#info = null;
    if (used) this.#phase = this.#rest();
    this.#loading = null;
    this.#preload();
    this[render]();
  }

  /** The phase when nothing is under way. */
  #rest() {
    return this.#modelText !== null ? 'done' : this.#info ? 'ready' : 'idle';
  }

  #show(phase, progress = null) {
    this.#phase = phase;
    this.#progress = progress;
    this[render]();
  }

  #setText(text, unfinished = false) {
    this.#text = text;
    if (!unfinished) this.internals.setFormValue(text, JSON.stringify({ text, modelText: this.#modelText }));
    this.#validate();
  }

  #edit(text) {
    this.#touched = true;
    this.#setText(text);
    this[readAgain](text);
    this[render]();
  }

  /** Puts another text in the field; the user's own is kept. */
  #replace(text) {
    if (text === null) return;
    if (this.edited && this.#text !== '') this.#ownText = this.#text;
    this.#edit(text);
    this.#changed();
    this.#view.text.focus();
  }

  #changed() {
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #validate() {
    const { text: anchor } = this.#view;
    const missing = this.required && this.#text.trim() === '';
    if (this.#run) this.internals.setValidity({ customError: true }, this.#words.unfinished, anchor);
    else if (missing) this.internals.setValidity({ valueMissing: true }, this.#words.required, anchor);
    else this.internals.setValidity({});
  }

  #toggleInstruction() {
    this.#instructed = !this.#instructed;
    this[render]();
    if (this.#instructed) this.#view.instruction.focus();
  }

  async #copy() {
    const again = () => this[render]();
    try {
      await navigator.clipboard.writeText(this.#text);
      this.#view.note(this.#words.copied, again);
    } catch {
      this.#view.text.focus();
      this.#view.text.select();
      this.#view.note(this.#words.copyRefused, again);
    }
  }

  [wordsChanged]() {
    this.#lang = languageOf(this);
    this.#words = textsFor(this.#lang, this.texts);
    this.#view.words(this.#words, this.#lang);
    this[render]();
  }

  [render]() {
    const disabled = this.disabled || this.#formDisabled;
    const given = this.findings !== null || Boolean(this.htmlFor);
    this.#view.show({
      phase: this.#phase,
      progress: this.#progress,
      text: this.#text,
      guard: this.guard,
      draft: this.#draft,
      edited: this.edited,
      hasOwn: this.#ownText !== null && this.#ownText !== this.#text,
      cutShort: this.#result?.stop === 'length',
      stopped: this.#result?.stop === 'cancelled',
      error: this.#error,
      ownFindings: !given,
      disabled,
      readOnly: this.readOnly,
      required: this.required,
      instructed: this.#instructed,
      label: this.label ?? '',
      lang: this.#lang,
    });
    this.#validate();
  }
}
