import { styleSheet } from './style.js';
import { filled } from './texts.js';

/**
 * What the widget shows: builds its shadow tree once and brings it up to date with a state. It knows
 * nothing of engines and forms; what the user does goes to `on`.
 *
 * @typedef {{ phase: 'idle' | 'ready' | 'loading' | 'waiting' | 'reading' | 'writing' | 'done' | 'error',
 *   progress: object | null, text: string, draft: boolean, edited: boolean, hasOwn: boolean,
 *   cutShort: boolean, stopped: boolean, error: { code: string, message: string } | null,
 *   guard: import('../index.d.ts').GuardReport | null, ownFindings: boolean, disabled: boolean, readOnly: boolean, required: boolean,
 *   instructed: boolean, label: string, lang: string }} ViewState
 */
export class View {
  /** @type {HTMLTextAreaElement} */
  text;
  /** @type {HTMLTextAreaElement} */
  findings;
  /** @type {HTMLInputElement} */
  instruction;

  #parts = {};
  #texts;
  #note = 0;

  /** @param {ShadowRoot} root @param {Record<string, () => void>} on */
  constructor(root, on) {
    root.adoptedStyleSheets = [styleSheet()];
    const make = (tag, part, properties = {}, ...children) => {
      const element = document.createElement(tag);
      if (part) {
        element.part.add(...part.split(' '));
        this.#parts[part.split(' ')[0]] = element;
      }
      Object.assign(element, properties);
      element.append(...children);
      return element;
    };
    const button = (part, className, act) => {
      return make('button', `${part} button`, { type: 'button', className, onclick: act });
    };
    const area = (part) => make('textarea', part, { id: part, className: part, dir: 'auto', spellcheck: true, rows: 4 });
    this.findings = area('findings');
    this.text = area('text');
    this.instruction = make('input', 'instruction', { id: 'instruction', type: 'text', dir: 'auto', maxLength: 400, autocomplete: 'off' });
    this.instruction.enterKeyHint = 'go';
    const track = make('div', 'progress', { className: 'track' }, make('div', 'progress-bar', { className: 'bar' }));
    track.role = 'progressbar';
    const error = make('div', 'error', { className: 'error' }, make('span', 'error-message'), make('code', 'error-code'));
    error.role = 'alert';
    const live = make('div', 'live', { className: 'live' });
    live.role = 'status';
    const panel = make(
      'div', 'panel', { className: 'panel' },
      track,
      make('div', 'findings-field', { className: 'field' }, make('label', 'findings-label', { htmlFor: 'findings' }), this.findings),
      make('div', 'text-field', { className: 'field' },
        make('div', 'header', { className: 'head' },
          make('label', 'label', { htmlFor: 'text', id: 'label' }),
          make('span', 'status', { className: 'status' }, make('span', 'status-text'))),
        this.text),
      make('ol', 'flags', { className: 'flags' }),
      make('p', 'acute', { className: 'acute' }),
      error,
      make('div', 'instruction-field', { className: 'field' }, make('label', 'instruction-label', { htmlFor: 'instruction' }), this.instruction),
      make('div', 'actions', { className: 'actions' },
        button('generate', 'primary', on.generate),
        button('stop', '', on.stop),
        button('instruct', '', on.instruct),
        button('model-text', 'quiet end', on.modelText),
        button('own-text', 'quiet', on.ownText),
        button('copy', 'quiet', on.copy)),
      make('p', 'notice', { className: 'notice' }),
      live,
    );
    panel.role = 'group';
    panel.setAttribute('aria-labelledby', 'label');
    this.#parts.instruct.setAttribute('aria-controls', 'instruction');
    this.text.oninput = on.edit;
    this.text.onchange = on.change;
    panel.onkeydown = (event) => {
      const enter = event.key === 'Enter' && !event.isComposing;
      if (enter && (event.ctrlKey || event.metaKey || event.target === this.instruction)) on.generate();
      else if (event.key === 'Escape' && panel.dataset.busy !== undefined) on.stop();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    // The host hears of what happens to the impression, not of typing beside it.
    for (const other of [this.findings, this.instruction]) {
      for (const type of ['input', 'change']) other.addEventListener(type, (event) => event.stopPropagation());
    }
    this.findings.addEventListener('input', on.editFindings);
    root.append(panel);
  }

  /** Puts the words of a language in place. @param {import('../widget.d.ts').WidgetTexts} texts */
  words(texts, lang) {
    this.#texts = texts;
    const parts = this.#parts;
    parts.panel.lang = lang;
    const set = {
      'findings-label': texts.findings, 'instruction-label': texts.instruction, stop: texts.stop,
      instruct: texts.instruction, 'model-text': texts.modelText, 'own-text': texts.ownText,
      copy: texts.copy, notice: texts.notice,
    };
    for (const [part, text] of Object.entries(set)) parts[part].textContent = text;
    parts.flags.ariaLabel = texts.flagsLabel;
    this.text.placeholder = texts.hint;
    this.findings.placeholder = texts.findingsHint;
    this.instruction.placeholder = texts.instructionHint;
  }

  /** @param {ViewState} state */
  show(state) {
    const { phase, progress, text, error, disabled, readOnly } = state;
    const parts = this.#parts;
    const texts = this.#texts;
    const busy = ['loading', 'waiting', 'reading', 'writing'].includes(phase);
    const { panel } = parts;
    panel.dataset.phase = phase;
    panel.toggleAttribute('data-busy', busy);
    panel.toggleAttribute('data-draft', state.draft);
    this.text.ariaBusy = String(phase === 'writing');
    parts.label.textContent = state.label || texts.label;
    parts['findings-field'].hidden = !state.ownFindings;

    if (this.text.value !== text) this.#setText(text);
    // While words come in they are the model's; an edit would be lost.
    this.text.readOnly = readOnly || phase === 'writing';
    this.text.required = state.required;
    for (const field of [this.text, this.findings, this.instruction]) field.disabled = disabled;

    parts.error.hidden = !error;
    if (error) {
      parts['error-message'].textContent = texts.errors[error.code] ?? error.message;
      parts['error-code'].textContent = error.code;
    }
    this.#flags(state.guard);
    parts['instruction-field'].hidden = !state.instructed;
    parts.instruct.setAttribute('aria-expanded', String(state.instructed));
    this.#buttons(state, busy);
    if (!this.#note) parts['status-text'].textContent = this.#status(state);
    parts.status.hidden = parts['status-text'].textContent === '';
    this.#track(phase, progress, busy);
  }

  /** The guard's flags, each a button that selects its words. */
  #flags(report) {
    const { flags: list, acute } = this.#parts;
    const flags = report?.flags ?? [];
    const looks = JSON.stringify([flags, this.#texts.severities, this.#texts.flags]);
    list.hidden = flags.length === 0;
    const labels = (report?.acute ?? []).filter(({ certain }) => certain).map(({ label }) => label);
    acute.hidden = labels.length === 0;
    acute.textContent = filled(this.#texts.acute, { label: labels.join(', ') });
    if (list.dataset.shown === looks) return;
    list.dataset.shown = looks;
    list.replaceChildren(...flags.map((flag) => {
      const piece = (part, text) => {
        const element = document.createElement('span');
        element.part.add(part);
        element.textContent = text;
        return element;
      };
      const button = document.createElement('button');
      button.type = 'button';
      button.part.add('flag', `flag-${flag.severity}`);
      const where = flag.kind === 'omission' ? [] : [piece('flag-line', filled(this.#texts.line, { line: flag.line + 1 }))];
      const message = this.#texts.flags[flag.kind] ?? flag.message.charAt(0).toUpperCase() + flag.message.slice(1);
      button.append(piece('flag-severity', this.#texts.severities[flag.severity]), ...where, piece('flag-message', message));
      button.onclick = () => {
        this.text.focus();
        this.text.setSelectionRange(flag.start, flag.end);
      };
      const item = document.createElement('li');
      item.dataset.severity = flag.severity;
      item.append(button);
      return item;
    }));
  }

  /** Tells a screen reader, once. @param {string} text @param {import('../index.d.ts').GuardReport | null} [guard] */
  announce(text, guard = null) {
    this.#parts.live.textContent = this.#counted(text, guard);
  }

  /** With the number of hard flags. */
  #counted(text, guard) {
    const count = (guard?.flags ?? []).filter(({ severity }) => severity === 'hard').length;
    return count ? `${text} · ${filled(this.#texts.toCheck, { count })}` : text;
  }

  /** Says something in the status line for a moment. @param {string} text @param {() => void} then */
  note(text, then) {
    clearTimeout(this.#note);
    this.#parts['status-text'].textContent = text;
    this.#parts.status.hidden = false;
    this.announce(text);
    this.#note = setTimeout(() => {
      this.#note = 0;
      then();
    }, 2500);
  }

  #buttons({ phase, text, edited, hasOwn, disabled, readOnly }, busy) {
    const parts = this.#parts;
    const texts = this.#texts;
    const focused = parts.generate.getRootNode().activeElement;
    parts.generate.hidden = busy;
    parts.stop.hidden = !busy;
    parts.generate.textContent = phase === 'done' ? texts.regenerate : texts.generate;
    parts.instruct.hidden = busy;
    parts['model-text'].hidden = busy || readOnly || !edited;
    parts['own-text'].hidden = busy || readOnly || !hasOwn;
    parts['own-text'].classList.toggle('end', !edited);
    parts.copy.hidden = busy || text === '';
    parts.copy.classList.toggle('end', !edited && !hasOwn);
    for (const name of ['generate', 'stop', 'instruct', 'model-text', 'own-text']) parts[name].disabled = disabled;
    // The key that was under the finger moves to the button that took its place.
    if (focused?.hidden && focused.localName === 'button') (busy ? parts.stop : parts.generate).focus();
  }

  #status({ phase, progress, edited, stopped, cutShort, guard, lang }) {
    const texts = this.#texts;
    const number = (value) => value.toLocaleString(lang);
    const megabytes = (bytes) => (bytes / 1e6).toLocaleString(lang, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
    const with_ = (text, pattern, done, total, format) =>
      total > 0 ? `${text} · ${filled(pattern, { done: format(done), total: format(total) })}` : text;
    if (phase === 'loading') {
      if (progress?.phase === 'load') {
        return with_(texts.loading, texts.amount, progress.loadedBytes, progress.totalBytes, megabytes);
      }
      if (progress?.phase !== 'prepare') return texts.starting;
      return with_(texts.preparing, texts.count, progress.pipelines.done, progress.pipelines.total, number);
    }
    if (phase === 'reading') return with_(texts.reading, texts.count, progress?.done, progress?.total, number);
    if (phase === 'done') {
      return this.#counted(edited ? texts.edited : stopped ? texts.stopped : cutShort ? texts.cutShort : texts.written, guard);
    }
    return phase === 'error' ? '' : texts[phase];
  }

  #track(phase, progress, busy) {
    const { progress: track, 'progress-bar': bar } = this.#parts;
    track.hidden = !busy;
    let share = null;
    if (phase === 'loading' && progress?.phase === 'load') share = progress.loadedBytes / progress.totalBytes;
    if (phase === 'loading' && progress?.phase === 'prepare') share = progress.pipelines.done / progress.pipelines.total;
    if (phase === 'reading' && progress) share = progress.done / progress.total;
    if (!(share >= 0 && share <= 1)) share = null;
    track.toggleAttribute('data-endless', share === null);
    track.ariaLabel = phase === 'loading' ? this.#texts.loading : (this.#texts[phase] ?? '');
    track.ariaValueNow = share === null ? null : String(Math.round(share * 100));
    bar.style.scale = share === null ? '' : `${share} 1`;
  }

  #setText(text) {
    const { text: field } = this;
    const atEnd = field.scrollTop + field.clientHeight >= field.scrollHeight - 8;
    field.value = text;
    if (field.readOnly && atEnd) field.scrollTop = field.scrollHeight;
  }
}
