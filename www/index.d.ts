/**
 * radllama: the impression of a radiology report from its findings, written on the reader's own GPU.
 *
 * Everything runs in the browser. The model is fetched once, by a worker that never sees a report; the
 * report is read by another worker, whose content security policy forbids every connection.
 *
 * A research tool, not a medical device.
 *
 * @packageDocumentation
 */

/** This release, as in package.json. */
export const version: string;

/** What a device can do for radllama, and if it cannot run it, why. */
export interface Support {
  /** Whether {@link ImpressionEngine.load} can work here. */
  readonly supported: boolean;
  /** Why not, as a stable code; `null` where it can. */
  readonly code: 'insecure_context' | 'no_webgpu' | 'no_adapter' | 'no_wasm' | null;
  /** Why not, and what to do, as a sentence for the user; `null` where it can. */
  readonly reason: string | null;
  /** The GPU that the browser offers; `null` where it offers none. */
  readonly gpu: {
    readonly vendor: string;
    readonly architecture: string;
    /** Whether it is the processor in a GPU's place. */
    readonly fallback: boolean;
    /** Optional features that faster kernels use. None is needed. */
    readonly features: readonly ('shader-f16' | 'subgroups')[];
    readonly maxBindingBytes: number;
  } | null;
  /** The browser's storage for models. `available` is false in some private windows: models work there too, but are fetched each time. */
  readonly storage: {
    readonly available: boolean;
    readonly usedBytes: number | null;
    readonly quotaBytes: number | null;
  };
}

/**
 * A model: the address of a manifest (relative ones count from the page), or the user's own GGUF file
 * from disk, all parts of it where it is split. Files are read in place and never leave the device.
 */
export type ModelSource = string | URL | Blob | readonly Blob[];

/** An adapter's two files, as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`. */
export interface AdapterFiles {
  readonly config: Blob | BufferSource;
  readonly weights: Blob | BufferSource;
}

/**
 * A LoRA adapter in PEFT's form: the address of a folder that holds its two files, or the files
 * themselves. `null`: none, not even the one that the model's manifest names.
 */
export type AdapterSource = string | URL | AdapterFiles | null;

/** News of a load. Bytes are those of the model and its adapter. */
export interface LoadProgress {
  /**
   * `start`: the engine itself is fetched and the GPU opened. `load`: bytes come in and go to the GPU.
   * `prepare`: all bytes are there, the kernels are being compiled and proven on this GPU.
   */
  readonly phase: 'start' | 'load' | 'prepare';
  readonly totalBytes: number;
  /** Bytes that are here, from the network or from storage. */
  readonly loadedBytes: number;
  /** Of those, bytes that were stored before. */
  readonly cachedBytes: number;
  /** Of those, bytes that came over the network. */
  readonly networkBytes: number;
  /** Bytes that were handed to the GPU. */
  readonly pushedBytes: number;
  /** Kernels that are proven, and all that this model needs. */
  readonly pipelines: { readonly done: number; readonly total: number };
}

export interface LoadOptions {
  /** The model. Default: the one that comes with the page, `weights/manifest.json`. */
  readonly model?: ModelSource;
  /** An adapter to run it with. Default: the one that its manifest names, if any. */
  readonly adapter?: AdapterSource;
  /** Whether the model is kept in the browser's storage (OPFS). Default: true. */
  readonly cache?: boolean;
  /** Tokens of prompt and impression together that there is room for. Default: the manifest's. */
  readonly contextTokens?: number;
  /** The prompt template of a model from disk, where the file does not tell it. */
  readonly template?: 'alpaca' | 'chatml' | 'llama2' | 'report';
  /** Ends the load with the error `cancelled`. What was fetched stays stored: the next load goes on there. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Where the package's files are served, if not beside the module. */
  readonly baseUrl?: string | URL;
}

/** The GPU and what runs on it. */
export interface GpuInfo {
  readonly name: string;
  readonly driver: string;
  readonly vendor?: string;
  readonly architecture?: string;
  /** `cpu` where the processor stands in for a GPU. */
  readonly tier: 'gpu' | 'cpu';
  readonly features: readonly string[];
  /** Kernel → the variant of it that was proven right on this GPU. */
  readonly variants: Readonly<Record<string, string>>;
  /** Faster variants that this GPU refused or computes wrongly, and how that was noticed. */
  readonly passedOver: Readonly<Record<string, string>>;
  readonly maxBindingBytes: number;
}

export interface ModelInfo {
  readonly name: string;
  /** What a user must be told before trusting an answer. */
  readonly notice: string | null;
  readonly licence: string | null;
  readonly template: string;
  readonly contextTokens: number;
  readonly gpuBytes: number;
  /** SHA-256 of each of its files. */
  readonly sha256: readonly string[];
  /** The adapter beside it; `null`: none. */
  readonly adapter: AdapterInfo | null;
}

export interface AdapterInfo {
  /** SHA-256 of adapter_model.safetensors. */
  readonly sha256: string;
  /** The largest rank. */
  readonly rank: number;
  /** What its configuration calls its base. */
  readonly baseModel: string;
}

export interface EngineInfo {
  readonly version: string;
  readonly gpu: GpuInfo;
  readonly model: ModelInfo;
  readonly load: {
    readonly totalBytes: number;
    readonly cachedBytes: number;
    readonly networkBytes: number;
    readonly loadMs: number;
    /** Peak of the WebAssembly memory; the model is not in it. */
    readonly wasmBytes: number;
  };
  /**
   * Whether the worker that reads reports is sealed: it tried to fetch and to import something when it
   * started (an address that names no host, so nothing was sent), and its policy refused both.
   */
  readonly sealed: boolean;
}

export interface ImpressionOptions {
  /** In place of the template's own instruction. */
  readonly instruction?: string;
  /** The prior report, for comparison. */
  readonly prior?: string;
  /** Most tokens to write. Default: the manifest's. */
  readonly maxNewTokens?: number;
  /** 0: the likeliest token each time. Above 0 tokens are drawn, and beams are not used unless asked for. */
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  /** Beams of a beam search, 1 to 8. Default: the manifest's. */
  readonly beams?: number;
  readonly lengthPenalty?: number;
  readonly noRepeatNgram?: number;
  /** Ends the writing; the result has what was written and `stop: 'cancelled'`. */
  readonly signal?: AbortSignal;
  /** So many of the prompt's tokens have been read. */
  readonly onPrefill?: (done: number, total: number) => void;
}

/** The text so far. */
export interface ImpressionDelta {
  /** All of it. */
  readonly text: string;
  /** What came to it; `null` where a beam search changed its mind about earlier words. */
  readonly delta: string | null;
  /**
   * What the guard says of this text as far as it is written: nothing of what may still come. `null` where this
   * update was not checked, as one shortly before was; the last update always is, as {@link ImpressionResult.guard}.
   */
  readonly guard: GuardReport | null;
}

/** First and behind-the-last UTF-16 code unit: `text.slice(...place)` is what stands there. */
export type Place = readonly [start: number, end: number];

/** What a flag is about. */
export type GuardKind =
  | 'side'
  | 'measurement'
  | 'negation'
  | 'unsupported'
  | 'comparison'
  | 'omission'
  | 'degenerate';

/** `hard`: an error in all likelihood. `soft`: to be looked at. `advisory`: a reminder. */
export type GuardSeverity = 'hard' | 'soft' | 'advisory';

/** A sentence or list item of an impression, without its number. */
export interface GuardLine {
  readonly text: string;
  /** In the impression, in UTF-16 code units. */
  readonly start: number;
  readonly end: number;
  /** The findings sentences that support it, in order. */
  readonly support: readonly Place[];
}

/** Something in an impression that the findings do not bear out. */
export interface GuardFlag {
  readonly kind: GuardKind;
  readonly severity: GuardSeverity;
  /** Number of the line, from 0. What is left out has the last line's. */
  readonly line: number;
  /** In the impression, in UTF-16 code units. What is left out stands at the end. */
  readonly start: number;
  readonly end: number;
  /** For people; holds nothing of the report. */
  readonly message: string;
  /** The lexicon's concept, where the flag is about one. */
  readonly concept?: string;
  /** Where the findings say otherwise, or say what is left out. */
  readonly findings?: Place;
}

/** A finding that calls for telling somebody at once. */
export interface GuardAcute {
  readonly concept: string;
  /** What to call it, such as `Tension pneumothorax`. */
  readonly label: string;
  /** Whether it is said for certain. */
  readonly certain: boolean;
  /** Where it stands, and where its place counts. */
  readonly section: 'findings' | 'impression';
  readonly start: number;
  readonly end: number;
}

/**
 * What the guard says of an impression: words and rules over two texts, without a model. It tells where they
 * disagree, not which is right. All places count UTF-16 code units, as `slice` and selections do; those of
 * `support`, of `findings` and of acute findings there are the findings', all others the impression's. (The
 * command line counts Unicode scalar values.)
 */
export interface GuardReport {
  readonly lines: readonly GuardLine[];
  /** By line, then place. */
  readonly flags: readonly GuardFlag[];
  /** Each concept once. */
  readonly acute: readonly GuardAcute[];
}

export interface CheckOptions {
  /** The prior report, or the comparison section; without one, words of comparison are flagged. */
  readonly prior?: string | null;
  /** The impression is still being written: that it is unfinished or leaves something out is not said yet. */
  readonly part?: boolean;
  /** It ended because no more tokens were allowed (`stop: 'length'`), which is flagged. */
  readonly cut?: boolean;
  readonly signal?: AbortSignal;
}

/** The formats of an export. DICOM SR is the command line's: `radllama export`. */
export type ExportFormat = 'text' | 'markdown' | 'fhir' | 'hl7';

/** An acute finding, and who was told of it, as far as that was written down. */
export interface ReportCommunication {
  readonly label: string;
  /** The guard's. */
  readonly concept?: string | null;
  readonly who?: string | null;
  /** RFC 3339 becomes a time where a format has one; anything else stays text. */
  readonly when?: string | null;
  readonly how?: string | null;
}

/**
 * A report to be exported. Only the impression must be there; what is not given is left out or, where a format
 * insists, marked as unknown in its own way. docs/export.md says what becomes of each field.
 */
export interface ExportReport {
  readonly id?: string | null;
  readonly accession?: string | null;
  /** DICOM Study Instance UID of the images. */
  readonly studyUid?: string | null;
  /** A date or a time by RFC 3339. */
  readonly studyTime?: string | null;
  /** Time of the export by RFC 3339, with its distance from UTC; now, where it is not given. */
  readonly time?: string | null;
  /** BCP 47; English where nothing says. */
  readonly language?: string | null;
  readonly patient?: { readonly id?: string | null; readonly family?: string | null; readonly given?: string | null };
  readonly findings?: string | null;
  /** A text becomes its lines; a list stays as it is. */
  readonly impression: string | readonly string[];
  readonly recommendation?: string | readonly string[] | null;
  readonly prior?: string | null;
  readonly flags?: readonly GuardFlag[] | null;
  /** Those that no communication is about are exported as not communicated. */
  readonly acute?: readonly GuardAcute[] | null;
  readonly communications?: readonly ReportCommunication[] | null;
  /** How the impression came about; {@link ImpressionEngine.export} fills in what it knows. */
  readonly provenance?: {
    /** `generated` by a model and not changed, `edited` by a person, or written by a `person`. */
    readonly origin?: 'generated' | 'edited' | 'person' | null;
    readonly software?: string | null;
    readonly version?: string | null;
    readonly model?: string | null;
    readonly modelSha256?: readonly string[];
    readonly adapter?: string | null;
    readonly adapterSha256?: string | null;
    readonly written?: string | null;
  };
  /** HL7: for production (`P` in MSH-11) and not for training (`T`). */
  readonly production?: boolean;
}

/** A report as a file. */
export interface ExportedFile {
  /** Made of the report's id; every system takes it. */
  readonly name: string;
  readonly mime: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface ImpressionResult {
  readonly text: string;
  /** `eos`: the model ended it. `length`: `maxNewTokens` were written. */
  readonly stop: 'eos' | 'length' | 'cancelled';
  readonly tokens: {
    readonly prompt: number;
    /** Of the prompt, tokens that were still in the cache from the call before. */
    readonly reused: number;
    readonly generated: number;
  };
  readonly timings: {
    readonly prefillMs: number;
    readonly decodeMs: number;
    readonly prefillTokensPerS: number;
    readonly decodeTokensPerS: number;
  };
  /** What the guard says of the text; of one that was stopped as of a part. */
  readonly guard: GuardReport;
  /** The ids of the tokens that were written. */
  readonly ids: readonly number[];
  /** Kernel → variant. */
  readonly variants: Readonly<Record<string, string>>;
  readonly modelSha256: readonly string[];
  readonly adapterSha256: string | null;
  readonly version: string;
}

/**
 * An impression that is being written. Iterate it for the text as it grows, await `result` for the end;
 * either alone is fine.
 */
export interface ImpressionRun extends AsyncIterable<ImpressionDelta> {
  /** Rejects with a {@link RadllamaError}, as does the iteration. */
  readonly result: Promise<ImpressionResult>;
}

/** A model in the browser's storage. */
export interface StoredModel {
  readonly name: string;
  readonly totalBytes: number;
  /** Less than `totalBytes` where a download was interrupted. */
  readonly storedBytes: number;
  readonly sha256: readonly string[];
}

/**
 * A model on the GPU, ready to write. Calls queue: one engine writes one impression at a time. Each
 * engine has its own workers and its own copy of the model on the GPU, so share one within a page.
 */
export class ImpressionEngine {
  private constructor();

  /** What this device can do and, if it cannot run radllama, why. Fetches nothing. */
  static supported(): Promise<Support>;

  /**
   * Brings a model to the GPU, from the browser's storage as far as it is there.
   * @throws {RadllamaError}
   */
  static load(options?: LoadOptions): Promise<ImpressionEngine>;

  /**
   * Name, notice and size of a model and how much of it is stored, without loading it.
   * @throws {RadllamaError} `network`, `bad_manifest`
   */
  static probe(
    model?: string | URL,
    options?: { readonly baseUrl?: string | URL; readonly signal?: AbortSignal },
  ): Promise<StoredModel & { readonly notice: string | null }>;

  /** The models in the browser's storage. */
  static stored(): Promise<readonly StoredModel[]>;

  /**
   * Checks an impression against its findings without a model: the engine itself is fetched, no more. Both
   * texts are read by the sealed worker.
   * @throws {RadllamaError} `network`, `cancelled`
   */
  static check(
    findings: string,
    impression: string,
    options?: CheckOptions & { readonly baseUrl?: string | URL },
  ): Promise<GuardReport>;

  /**
   * Writes a report in a format of the trade, without a model: plain text, Markdown, a FHIR R4 document or an HL7
   * v2.5.1 message. The sealed worker reads it.
   * @throws {RadllamaError} `bad_text`, `bad_data`, `bad_option`, `network`, `cancelled`
   */
  static export(
    report: ExportReport,
    format: ExportFormat,
    options?: { readonly baseUrl?: string | URL; readonly signal?: AbortSignal },
  ): Promise<ExportedFile>;

  /** Removes stored models: the one with these files, or all. One that another tab is loading stays. */
  static deleteStored(model?: StoredModel): Promise<void>;

  readonly info: EngineInfo;

  /** Fires once the engine is of no more use (the GPU was lost, its worker died), with the reason. */
  readonly lost: Promise<RadllamaError>;

  /**
   * Writes the impression of findings.
   *
   *     const run = engine.impression(findings);
   *     for await (const { text } of run) output.textContent = text;
   *     const { text, stop } = await run.result;
   */
  impression(findings: string, options?: ImpressionOptions): ImpressionRun;

  /**
   * Checks an impression against its findings, also while another is being written; takes about a millisecond.
   *
   *     const { lines, flags } = await engine.check(findings, text, { prior });
   *     for (const { start, end, message } of flags) mark(text.slice(start, end), message);
   */
  check(findings: string, impression: string, options?: CheckOptions): Promise<GuardReport>;

  /**
   * Writes a report in a format of the trade, with this engine's program, model and adapter as its provenance where
   * the report does not say otherwise.
   *
   *     const { text, guard } = await run.result;
   *     const report = { findings, impression: text, ...guard, provenance: { origin: 'generated' } };
   *     const { name, mime, bytes } = await engine.export(report, 'fhir');
   */
  export(
    report: ExportReport,
    format: ExportFormat,
    options?: { readonly signal?: AbortSignal },
  ): Promise<ExportedFile>;

  /**
   * Runs the loaded model with another adapter, or none (`null`), without loading the model again. One
   * that does not fit is refused and changes nothing.
   * @throws {RadllamaError}
   */
  swapAdapter(adapter: AdapterSource, options?: { readonly signal?: AbortSignal }): Promise<EngineInfo>;

  /** Ends the workers and frees the GPU. What is under way ends with the error `cancelled`. */
  dispose(): void;
}

/** A failure, with a code that stays the same over releases. */
export class RadllamaError extends Error {
  constructor(code: string, message: string);
  readonly name: 'RadllamaError';
  /** Such as `network`, `no_adapter`, `device_lost`, `out_of_memory`, `prompt_too_long`, `cancelled`. */
  readonly code: string;
}
