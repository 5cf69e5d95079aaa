/**
 * What a host can set on the element: attributes and their properties, and the part of a form control
 * that only passes on what the browser knows. `element.js` builds on it.
 */
const Base = globalThis.HTMLElement ?? class {}; // a server may import the module

/** Attribute → the property that is its text, `''` where it is not there. */
const STRINGS = { for: 'htmlFor', name: 'name', label: 'label', value: 'defaultValue' };
/** Attribute → the property that says whether it is there. */
const FLAGS = { preload: 'preload', readonly: 'readOnly', required: 'required', disabled: 'disabled' };
/** Properties that take more than a text, and their attributes. */
const SOURCES = { model: 'model', adapter: 'adapter', 'base-url': 'baseUrl' };
const TEXTS = ['findings', 'instruction', 'prior'];
/** Attributes that say what the impression is read against. */
const AGAINST = ['for', 'findings', 'prior'];

/** Methods that the classes above give: another engine is wanted; other findings; other words; anything else that shows. */
export const sourceChanged = Symbol('sourceChanged');
export const findingsChanged = Symbol('findingsChanged');
export const wordsChanged = Symbol('wordsChanged');
export const render = Symbol('render');

export class Properties extends Base {
  static formAssociated = true;
  static observedAttributes = [
    ...Object.keys(STRINGS), ...Object.keys(FLAGS), ...Object.keys(SOURCES), ...TEXTS,
    'theme', 'lang', 'max-new-tokens', 'beams',
  ];

  /** Property → what a script has set, over the attribute. */
  #set = new Map();
  #options = {};
  #texts = {};

  constructor() {
    super();
    const internals = this.attachInternals();
    // Not a member that a host would find and use.
    Object.defineProperty(this, 'internals', { value: internals });
  }

  /** Properties that were set before the element was defined: the accessors take over. */
  upgrade() {
    const names = [...Object.values({ ...STRINGS, ...FLAGS, ...SOURCES }), ...TEXTS, 'theme', 'options', 'texts', 'value'];
    for (const name of names.filter((name) => Object.hasOwn(this, name))) {
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
  }

  get theme() {
    const theme = this.getAttribute('theme');
    return theme === 'dark' || theme === 'light' ? theme : 'auto';
  }
  set theme(theme) {
    this.setAttribute('theme', theme);
  }
  get options() {
    return this.#options;
  }
  set options(options) {
    this.#options = { ...options };
  }
  get texts() {
    return this.#texts;
  }
  set texts(texts) {
    this.#texts = { ...texts };
    this[wordsChanged]();
  }
  get type() {
    return 'radiology-impression';
  }

  get form() {
    return this.internals.form;
  }
  get labels() {
    return this.internals.labels;
  }
  get validity() {
    return this.internals.validity;
  }
  get validationMessage() {
    return this.internals.validationMessage;
  }
  get willValidate() {
    return this.internals.willValidate;
  }
  checkValidity() {
    return this.internals.checkValidity();
  }
  reportValidity() {
    return this.internals.reportValidity();
  }

  static {
    const property = (name, get, set) =>
      Object.defineProperty(this.prototype, name, { enumerable: true, configurable: true, get, set });
    const none = (value) => value === null || value === undefined;
    for (const [attribute, name] of Object.entries(STRINGS)) {
      property(
        name,
        function () {
          return this.getAttribute(attribute) ?? '';
        },
        function (value) {
          if (none(value)) this.removeAttribute(attribute);
          else this.setAttribute(attribute, value);
        },
      );
    }
    for (const [attribute, name] of Object.entries(FLAGS)) {
      property(
        name,
        function () {
          return this.hasAttribute(attribute);
        },
        function (value) {
          this.toggleAttribute(attribute, Boolean(value));
        },
      );
    }
    const settable = (attribute, name, read, unset, after) =>
      property(
        name,
        function () {
          return this.#set.has(name) ? this.#set.get(name) : read(this.getAttribute(attribute));
        },
        function (value) {
          if (unset(value)) this.#set.delete(name);
          else this.#set.set(name, value);
          this[after]();
        },
      );
    for (const name of TEXTS) settable(name, name, (text) => text, none, this.changedBy(name));
    for (const [attribute, name] of Object.entries(SOURCES)) {
      // `null` is an adapter too: none, not even the manifest's.
      if (name === 'adapter') {
        settable(attribute, name, (text) => (text === 'none' ? null : (text ?? undefined)), (v) => v === undefined, sourceChanged);
      } else settable(attribute, name, (text) => text, none, sourceChanged);
    }
  }

  /** What else than the looks an attribute changes. @param {string} attribute */
  static changedBy(attribute) {
    if (attribute === 'lang') return wordsChanged;
    if (Object.hasOwn(SOURCES, attribute)) return sourceChanged;
    return AGAINST.includes(attribute) ? findingsChanged : render;
  }
}

/** The model and adapter that an element names, as load() takes them. @param {Properties} element */
export function sourceOf({ model, adapter, baseUrl }) {
  const source = {};
  if (model !== null) source.model = model;
  if (adapter !== undefined) source.adapter = adapter;
  if (baseUrl !== null) source.baseUrl = baseUrl;
  return source;
}

/** The findings: given, of another field, or of the element's own. @param {Properties} element @param {HTMLTextAreaElement} own */
export function findingsOf(element, own) {
  if (element.findings !== null) return element.findings;
  const source = element.htmlFor && element.getRootNode().getElementById?.(element.htmlFor);
  return source ? String(source.value ?? source.textContent) : own.value;
}

/**
 * How an element wants its impression written.
 * @param {Properties} element
 * @param {string} instruction what the reader typed; it comes before the host's
 */
export function wishesOf(element, instruction) {
  const wishes = { ...element.options };
  const number = (name) => Number.parseInt(element.getAttribute(name), 10);
  if (number('max-new-tokens') > 0) wishes.maxNewTokens ??= number('max-new-tokens');
  if (number('beams') > 0) wishes.beams ??= number('beams');
  if (instruction || element.instruction) wishes.instruction = instruction || element.instruction;
  if (element.prior) wishes.prior = element.prior;
  return wishes;
}
