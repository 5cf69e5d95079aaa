/**
 * `<radiology-impression>`: a field of a form that holds the impression of a radiology report and can
 * have it written from the findings, on the reader's own GPU.
 *
 *     import 'radllama/widget';
 *
 *     <textarea id="findings"></textarea>
 *     <radiology-impression for="findings" name="impression" model="/weights/manifest.json"></radiology-impression>
 *
 * Importing the module defines the element, unless something has defined it before. Nothing else is
 * fetched until the first use. All elements of a page with the same model and adapter share one engine;
 * it is given back half a minute after the last of them has left the page.
 *
 * A research tool, not a medical device.
 *
 * ### Attributes
 * `model`, `adapter` (`none`: not even the manifest's), `base-url`, `findings`, `for`, `prior`,
 * `instruction`, `max-new-tokens`, `beams`, `theme`, `lang`, `label`, `preload`, and as for any field
 * `name`, `value` (the text to begin with), `required`, `readonly`, `disabled`. Each has a property.
 *
 * ### Parts, for `::part()`
 * `panel`, `header`, `label`, `status`, `text-field`, `findings-field`, `findings-label`, `findings`, `text`,
 * `progress`, `progress-bar`, `error`, `error-message`, `error-code`, `instruction-field`,
 * `instruction-label`, `instruction`, `actions`, `button` (each of them), `generate`, `stop`,
 * `instruct`, `model-text`, `own-text`, `copy`, `notice`; `flags` (the list), `flag` (each of them; also
 * `flag-hard`, `flag-soft`, `flag-advisory`), `flag-severity`, `flag-line`, `flag-message`, `acute`.
 *
 * ### Custom properties
 * Colours: `--radllama-accent`, `--radllama-on-accent`, `--radllama-background`, `--radllama-field`,
 * `--radllama-text`, `--radllama-muted`, `--radllama-border`, `--radllama-error`, `--radllama-caution`. Measures:
 * `--radllama-radius`, `--radllama-gap`, `--radllama-font-size`, `--radllama-max-height` (of the text).
 * `--radllama-font`: the family.
 *
 * ### Keys
 * Ctrl+Enter (⌘+Enter) in any of its fields writes, Enter in the instruction too, Escape stops.
 *
 * @packageDocumentation
 */

import type {
  AdapterSource,
  EngineInfo,
  GuardAcute,
  GuardFlag,
  GuardKind,
  GuardReport,
  GuardSeverity,
  ImpressionDelta,
  ImpressionOptions,
  ImpressionResult,
  LoadProgress,
  ModelSource,
} from './index.js';

export { RadllamaError } from './index.js';

/** What the element is doing. `done`: there is a text by the model, edited or not. */
export type WidgetState = 'idle' | 'loading' | 'ready' | 'waiting' | 'reading' | 'writing' | 'done' | 'error';

/** The prompt is being read: so many of its tokens. */
export interface ReadProgress {
  readonly phase: 'read';
  readonly done: number;
  readonly total: number;
}

/** A finished (or stopped) impression. */
export interface ImpressionDetail {
  readonly text: string;
  readonly result: ImpressionResult;
  /** What the guard says of it. */
  readonly guard: GuardReport;
  /** What wrote it. */
  readonly engine: EngineInfo;
}

/** Something in the text that the findings do not bear out. */
export interface FlagDetail {
  readonly flag: GuardFlag;
  /** The line that it is in. */
  readonly line: string;
}

/** A finding that calls for telling somebody: who was told, when and how is the host's to ask and to keep. */
export interface AcuteDetail {
  readonly finding: GuardAcute;
}

/** A failure. The message says what to do; it holds nothing of findings or impression. */
export interface ErrorDetail {
  /** Stays the same over releases. */
  readonly code: string;
  readonly message: string;
}

/**
 * The events that are the element's own, beside `input` and `change` as of any field: `input` while the
 * reader types, `change` after an edit and after an impression. None of them bubbles, except `input`
 * and `change`.
 */
export interface RadiologyImpressionEventMap {
  /** A load or the reading of the prompt has come further. */
  progress: CustomEvent<LoadProgress | ReadProgress>;
  /** The text has grown or changed while it is written. */
  delta: CustomEvent<ImpressionDelta>;
  /** An impression is there; it is the element's value already. */
  impression: CustomEvent<ImpressionDetail>;
  /** The guard has a new flag: once each, while a text is written, at its end and after edits. */
  flag: CustomEvent<FlagDetail>;
  /** An acute finding is certain in findings or impression: once each, when a text is written. */
  acute: CustomEvent<AcuteDetail>;
  /** Something failed. What the user stopped is no failure. */
  error: CustomEvent<ErrorDetail>;
}

/** The events of any element, beside its own. */
export interface FieldEventMap extends Omit<HTMLElementEventMap, keyof RadiologyImpressionEventMap> {}

/** How an impression is written, where it differs from the model's own settings. */
export type WidgetOptions = Omit<ImpressionOptions, 'signal' | 'onPrefill'>;

/** The words of the interface. `{done}`, `{total}`, `{count}`, `{line}` and `{label}` are filled in. */
export interface WidgetTexts {
  label: string;
  findings: string;
  findingsHint: string;
  hint: string;
  generate: string;
  regenerate: string;
  stop: string;
  copy: string;
  copied: string;
  copyRefused: string;
  modelText: string;
  ownText: string;
  instruction: string;
  instructionHint: string;
  idle: string;
  starting: string;
  loading: string;
  preparing: string;
  waiting: string;
  reading: string;
  writing: string;
  ready: string;
  written: string;
  edited: string;
  stopped: string;
  cutShort: string;
  announceLoading: string;
  announceWriting: string;
  announceWritten: string;
  announceStopped: string;
  notice: string;
  required: string;
  unfinished: string;
  amount: string;
  count: string;
  toCheck: string;
  line: string;
  flagsLabel: string;
  acute: string;
  severities: Readonly<Record<GuardSeverity, string>>;
  /** Kind of a flag → what to tell the user. For a kind that is missing, the guard's own message is shown. */
  flags: Readonly<Partial<Record<GuardKind, string>>>;
  /** Error code → what to tell the user. For a code that is missing, the engine's own message is shown. */
  errors: Readonly<Record<string, string>>;
}

/** The element `<radiology-impression>`. */
export class RadiologyImpression extends HTMLElement {
  /** For `<label>`, `<fieldset>` and `<form>`: it is a field. */
  static readonly formAssociated: true;
  /** Adds a language of the interface, or changes texts of one. `en` and `de` are there. */
  static addTexts(language: string, texts: Partial<WidgetTexts>): void;
  /** How long an engine stays on the GPU without an element that uses it, in milliseconds. */
  static graceMs: number;

  /** The address of a manifest, or GGUF files from disk. `null`: `weights/manifest.json`, counted from the page. */
  get model(): ModelSource | null;
  set model(model: ModelSource | null | undefined);
  /** `undefined`: the adapter that the manifest names. `null`: none. */
  get adapter(): AdapterSource | undefined;
  set adapter(adapter: AdapterSource | undefined);
  /** Where the package's files are served, if not beside the module. */
  get baseUrl(): string | URL | null;
  set baseUrl(url: string | URL | null | undefined);

  /** The findings. `null`: those of the field that `for` names; without `for`, the element has a field of its own. */
  get findings(): string | null;
  set findings(findings: string | null | undefined);
  /** The `id` of the field with the findings, in the same document or shadow root. The attribute is `for`. */
  htmlFor: string;
  /** The prior report, for comparison. */
  get prior(): string | null;
  set prior(prior: string | null | undefined);
  /** In place of the template's own instruction. What the reader types in the element's instruction line comes first. */
  get instruction(): string | null;
  set instruction(instruction: string | null | undefined);
  /** How to write; `max-new-tokens` and `beams` are attributes too. */
  get options(): WidgetOptions;
  set options(options: WidgetOptions);

  /** `auto` follows the system. */
  get theme(): 'auto' | 'dark' | 'light';
  set theme(theme: 'auto' | 'dark' | 'light');
  /** In place of the word "Impression". */
  label: string;
  /** Texts of this element that differ from its language's. */
  get texts(): Partial<WidgetTexts>;
  set texts(texts: Partial<WidgetTexts>);
  /** Whether the model is loaded as soon as the element is on the page. */
  preload: boolean;

  /** The impression as it stands, which is what a form submits. While one is written, the form is not valid. */
  value: string;
  /** The attribute `value`: what a reset brings back. */
  defaultValue: string;
  name: string;
  required: boolean;
  readOnly: boolean;
  disabled: boolean;
  readonly type: 'radiology-impression';
  readonly form: HTMLFormElement | null;
  readonly labels: NodeList;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;

  readonly state: WidgetState;
  /** Whether a load or an impression is under way. */
  readonly busy: boolean;
  /** Whether the text differs from the model's. */
  readonly edited: boolean;
  /** The model's last text, whatever became of it. */
  readonly modelText: string | null;
  /** What the last impression came with. */
  readonly result: ImpressionResult | null;
  /** What the guard says of the text as it stands; a moment after an edit, or a change of the findings, it is read again. `null`: it was not read. */
  readonly guard: GuardReport | null;
  /** Its flags. */
  readonly flags: readonly GuardFlag[];
  /** The engine that this element uses, once it is loaded. */
  readonly info: EngineInfo | null;

  /** Loads the model, if it is not there yet. @throws {RadllamaError} */
  load(): Promise<EngineInfo>;
  /**
   * Writes the impression; while one is being written, waits for that one. A text that the reader has
   * edited can be brought back.
   * @throws {RadllamaError} `empty_findings`, and as {@link ImpressionEngine.load} and its impressions
   */
  generate(options?: WidgetOptions): Promise<ImpressionResult>;
  /** Ends a load or a writing. What was written stays. */
  stop(): void;

  addEventListener<K extends keyof RadiologyImpressionEventMap>(
    type: K,
    listener: (this: RadiologyImpression, event: RadiologyImpressionEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof FieldEventMap>(
    type: K,
    listener: (this: RadiologyImpression, event: FieldEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof RadiologyImpressionEventMap>(
    type: K,
    listener: (this: RadiologyImpression, event: RadiologyImpressionEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener<K extends keyof FieldEventMap>(
    type: K,
    listener: (this: RadiologyImpression, event: FieldEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'radiology-impression': RadiologyImpression;
  }
}
