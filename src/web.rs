//! What JavaScript sees. The only module that knows of it; what needs no model has files of its own.
//!
//! Errors cross as `Error` objects with a stable `code`. Methods take `&self` and share what they need
//! behind reference counts, so that a load can go on while the self-test runs, and a cancel can arrive
//! while a model writes.

mod export;
mod guard;
mod rows;
mod study;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use gloo_utils::format::JsValueSerdeExt;
use js_sys::{Function, Reflect};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::digest::sha256;
use crate::engine::{self, GenerateOptions, Generation, Hypothesis, Progress, Timings, Watch};
use crate::error::{Error, Result};
use crate::gpu::{self, GpuExecutor, GpuStore, Kernels, Tier};
use crate::kernels::Variant;
use crate::lora::Adapter;
use crate::manifest::{Decoding, Manifest, ManifestAdapter, ManifestFile};
use crate::model::loader::{Loader, Part};
use crate::model::{self, Needs};
use crate::prompt::{PromptRequest, Template};
use crate::quant::Format;
use crate::sampler::Sampling;

/// This release.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A result whose error is thrown.
type Js<T> = std::result::Result<T, JsValue>;

fn thrown(error: Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&object, &"code".into(), &error.code().into());
    object.into()
}

fn plain(value: &impl Serialize) -> Js<JsValue> {
    JsValue::from_serde(value).map_err(|error| thrown(Error::Internal(error.to_string())))
}

fn now() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &"performance".into());
    performance
        .ok()
        .and_then(|performance| performance.dyn_into::<web_sys::Performance>().ok())
        .map_or_else(js_sys::Date::now, |performance| performance.now())
}

/// A WebGPU device.
#[wasm_bindgen]
pub struct Gpu {
    gpu: gpu::Gpu,
    kernels: Rc<RefCell<Option<Kernels>>>,
}

#[derive(Serialize)]
struct GpuInfo {
    name: String,
    driver: String,
    tier: Tier,
    features: Vec<&'static str>,
    /// Which variant each kernel runs as, once the self-test is done.
    variants: BTreeMap<&'static str, &'static str>,
    /// Faster ones that this device refused or computes wrongly, and how that was noticed.
    passed_over: BTreeMap<String, String>,
    max_binding_bytes: u64,
}

#[wasm_bindgen]
impl Gpu {
    /// Opens the device. `subgroups`: whether the page's device requests ask for that feature. `prefer`:
    /// the name of a kernel variant to try before the ones that are usually faster.
    pub async fn open(subgroups: Option<bool>, prefer: Option<String>) -> Js<Gpu> {
        let options = gpu::Options {
            subgroups: subgroups.unwrap_or(false),
            prefer: Variant::ALL.into_iter().find(|v| Some(v.name()) == prefer.as_deref()),
        };
        let gpu = gpu::Gpu::open(options).await.map_err(thrown)?;
        Ok(Gpu { gpu, kernels: Rc::default() })
    }

    /// Name, tier, features and kernel variants.
    pub fn info(&self) -> Js<JsValue> {
        let kernels = self.kernels.borrow();
        let variants = kernels.as_ref().map(Kernels::chosen).unwrap_or_default();
        let passed_over = kernels.iter().flat_map(Kernels::passed_over);
        let reason = |(name, error): (&String, &Error)| (name.clone(), error.to_string());
        let feature = |variant, name| self.gpu.can_run(variant).then_some(name);
        plain(&GpuInfo {
            name: self.gpu.name(),
            driver: self.gpu.driver(),
            tier: self.gpu.tier(),
            features: [
                feature(Variant::F16, "shader-f16"),
                feature(Variant::Subgroup, "subgroups"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            variants,
            passed_over: passed_over.map(reason).collect(),
            max_binding_bytes: self.gpu.max_binding_bytes(),
        })
    }

    /// Compiles the kernels that [`ModelLoader::formats`] asks for and proves them on this device.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self, formats: Vec<String>, on_progress: Option<Function>) -> Js<()> {
        let head_dim = formats.iter().find_map(|name| name.strip_prefix("dh")?.parse().ok());
        let needs = Needs {
            head_dim: head_dim
                .ok_or_else(|| thrown(Error::Internal("the test names no head dim".into())))?,
            formats: Format::ALL
                .into_iter()
                .filter(|format| formats.iter().any(|name| name == format.name()))
                .collect(),
        };
        let proven = self
            .gpu
            .prove(&needs, |done, total| {
                if let Some(on_progress) = &on_progress {
                    // A listener that throws must not break the test.
                    let _ = on_progress.call2(
                        &JsValue::NULL,
                        &(done as f64).into(),
                        &(total as f64).into(),
                    );
                }
            })
            .await
            .map_err(thrown)?;
        *self.kernels.borrow_mut() = Some(proven);
        Ok(())
    }
}

/// Takes the files of a model. See [`Loader`]: the heads of all files must come first.
#[wasm_bindgen]
pub struct ModelLoader {
    gpu: gpu::Gpu,
    kernels: Rc<RefCell<Option<Kernels>>>,
    loader: Loader<GpuStore>,
    about: About,
    /// The two files of an adapter.
    adapter: Option<(Vec<u8>, Vec<u8>)>,
}

/// What is known of a model besides its weights.
struct About {
    name: String,
    notice: Option<String>,
    licence: Option<String>,
    /// Where nothing says, the vocabulary decides.
    template: Option<Template>,
    context: Option<u32>,
    decoding: Option<Decoding>,
    adapter: Option<ManifestAdapter>,
}

/// Positions of the KV cache where neither caller nor manifest says.
const DEFAULT_CONTEXT: u32 = 1024;
/// Most tokens of a prefill step.
const CHUNK: u32 = 256;

#[wasm_bindgen]
impl ModelLoader {
    /// For the model that a manifest describes, with a context of so many tokens.
    #[wasm_bindgen(constructor)]
    pub fn new(gpu: &Gpu, manifest_json: &str, context_tokens: Option<u32>) -> Js<ModelLoader> {
        let manifest = Manifest::parse(manifest_json.as_bytes()).map_err(thrown)?;
        let part = |file: &ManifestFile| Part {
            name: file.path.clone(),
            bytes: Some(file.bytes),
            sha256: Some(file.sha256.clone()),
            ..Part::default()
        };
        let parts = manifest.files.iter().map(part).collect();
        let about = About {
            template: Some(manifest.template().map_err(thrown)?),
            context: context_tokens.or(manifest.context),
            name: manifest.name,
            notice: manifest.notice,
            licence: Some(manifest.licence),
            decoding: manifest.decoding,
            adapter: manifest.adapter,
        };
        Ok(ModelLoader::of(gpu, parts, about))
    }

    /// For GGUF files that no manifest describes: one, or all parts of a split in order. `template`: the
    /// name of a prompt template; without one the vocabulary's chat template decides.
    #[wasm_bindgen(js_name = ofFiles)]
    pub fn of_files(
        gpu: &Gpu,
        names: Vec<String>,
        template: Option<String>,
        context_tokens: Option<u32>,
    ) -> Js<ModelLoader> {
        let template = template.as_deref().map(str::parse).transpose().map_err(thrown)?;
        let about = About {
            name: names.first().cloned().unwrap_or_default(),
            notice: None,
            licence: None,
            template,
            context: context_tokens,
            decoding: None,
            adapter: None,
        };
        let part = |name| Part { name, hash: true, ..Part::default() };
        Ok(ModelLoader::of(gpu, names.into_iter().map(part).collect(), about))
    }

    /// Takes the next bytes of a file.
    pub fn push(&mut self, file: usize, bytes: &[u8]) -> Js<()> {
        self.loader.push(file, bytes).map_err(thrown)
    }

    /// Takes the two files of the manifest's adapter, whole.
    #[wasm_bindgen(js_name = setAdapter)]
    pub fn set_adapter(&mut self, config: Vec<u8>, weights: Vec<u8>) -> Js<()> {
        let expected = self.about.adapter.as_ref();
        let expected = expected.ok_or_else(|| thrown(Error::Internal("no adapter".into())))?;
        expected.config.check(&config).map_err(thrown)?;
        expected.weights.check(&weights).map_err(thrown)?;
        self.adapter = Some((config, weights));
        Ok(())
    }

    /// Leaves out the manifest's adapter: the caller asks for another, or for the base alone.
    #[wasm_bindgen(js_name = withoutAdapter)]
    pub fn without_adapter(&mut self) {
        self.about.adapter = None;
    }

    /// Whether enough of a file has come to go on with others.
    #[wasm_bindgen(js_name = headComplete)]
    pub fn head_complete(&self, file: usize) -> bool {
        self.loader.head_complete(file)
    }

    /// What the device must be tested for, once all heads are complete: see [`Gpu::self_test`].
    pub fn formats(&self) -> Option<Vec<String>> {
        let needs = self.loader.needs()?;
        let formats = needs.formats.iter().map(|format| format.name().to_string());
        Some(formats.chain([format!("dh{}", needs.head_dim)]).collect())
    }

    /// A wait until the device has taken what was pushed.
    pub fn flush(&self) -> js_sys::Promise {
        let gpu = self.gpu.clone();
        wasm_bindgen_futures::future_to_promise(async move {
            GpuStore::flush(&gpu).await.map(|()| JsValue::UNDEFINED).map_err(thrown)
        })
    }

    /// The engine, if every tensor came and every hash was right.
    pub async fn finish(self) -> Js<Engine> {
        self.finished().await.map_err(thrown)
    }
}

impl ModelLoader {
    fn of(gpu: &Gpu, parts: Vec<Part>, about: About) -> ModelLoader {
        ModelLoader {
            gpu: gpu.gpu.clone(),
            kernels: gpu.kernels.clone(),
            loader: Loader::new(GpuStore::new(&gpu.gpu), parts),
            adapter: None,
            about,
        }
    }

    async fn finished(self) -> Result<Engine> {
        let about = self.about;
        let mut weights = self.loader.finish()?;
        let template = about.template.unwrap_or_else(|| Template::of(&weights.tokenizer));
        let config = weights.layout.config.clone();
        let trained = config.max_position_embeddings;
        let context = about.context.unwrap_or(DEFAULT_CONTEXT.min(trained));
        let kernels = self.kernels.borrow().clone().ok_or_else(|| {
            Error::Internal("the device was not tested before the model was finished".into())
        })?;
        let executor = GpuExecutor::new(&mut weights, &kernels, context, CHUNK).await?;
        let adapter = match (&about.adapter, &self.adapter) {
            (Some(_), Some((settings, weights))) => Some(read_adapter(settings, weights, &config)?),
            (None, _) => None,
            // The base alone would be another model than the manifest's.
            (Some(_), None) => return Err(Error::Internal("the adapter was not given".into())),
        };
        let info = ModelInfo {
            decoding: about.decoding,
            adapter: None,
            name: about.name,
            notice: about.notice,
            licence: about.licence,
            template: template.name(),
            context,
            gpu_bytes: executor.device_bytes(),
            sha256: weights.sha256,
            config,
        };
        let engine = engine::Engine::new(executor, weights.tokenizer, template, now);
        let mut engine = Engine { engine, info };
        engine.set(adapter).await?;
        Ok(engine)
    }
}

/// An adapter, and what to say of it.
fn read_adapter(
    config: &[u8],
    weights: &[u8],
    model: &crate::LlamaConfig,
) -> Result<(Adapter, AdapterInfo)> {
    let adapter = Adapter::from_peft(config, weights, model)?;
    let info = AdapterInfo {
        sha256: sha256(weights),
        rank: adapter.pairs.values().map(|pair| pair.rank).max().unwrap_or(0),
        base_model: adapter.config.base_model.clone(),
    };
    Ok((adapter, info))
}

/// Stops a load or a generation.
#[wasm_bindgen]
#[derive(Clone, Default)]
pub struct CancelToken(Rc<Cell<bool>>);

#[wasm_bindgen]
impl CancelToken {
    /// A token that was not used yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Asks the generation that has this token to stop.
    pub fn cancel(&self) {
        self.0.set(true);
    }
}

/// A model ready to write.
#[wasm_bindgen]
pub struct Engine {
    engine: engine::Engine<GpuExecutor>,
    info: ModelInfo,
}

#[derive(Serialize)]
struct ModelInfo {
    name: String,
    notice: Option<String>,
    licence: Option<String>,
    template: &'static str,
    context: u32,
    gpu_bytes: u64,
    /// The adapter that is loaded.
    adapter: Option<AdapterInfo>,
    /// How the manifest decodes.
    decoding: Option<Decoding>,
    sha256: Vec<String>,
    config: crate::LlamaConfig,
}

#[derive(Serialize)]
struct AdapterInfo {
    /// Of its weights' file.
    sha256: String,
    rank: u32,
    base_model: String,
}

/// The options of a call, all with defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    max_new_tokens: Option<u32>,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    seed: u64,
    beams: Option<u32>,
    length_penalty: Option<f32>,
    no_repeat_ngram: Option<u32>,
    n_best: u32,
    instruction: Option<String>,
    prior: Option<String>,
    top_logits: u32,
    ignore_eos: bool,
}

impl Default for Options {
    fn default() -> Self {
        let (generate, sampling) = (GenerateOptions::default(), Sampling::default());
        Options {
            max_new_tokens: None,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repetition_penalty: sampling.repetition_penalty,
            seed: sampling.seed,
            beams: None,
            length_penalty: None,
            no_repeat_ngram: None,
            n_best: generate.n_best,
            instruction: None,
            prior: None,
            top_logits: generate.top_logits,
            ignore_eos: generate.ignore_eos,
        }
    }
}

impl Options {
    /// Of what the options leave open, `decoding` decides.
    fn parse(json: &str, decoding: Option<Decoding>) -> Result<(Options, GenerateOptions)> {
        let options: Options = serde_json::from_str(json).map_err(|error| Error::BadOption {
            option: "options",
            value: error.to_string(),
            expected: "an object of known options",
        })?;
        let generate = GenerateOptions {
            sampling: Sampling {
                temperature: options.temperature,
                top_k: options.top_k,
                top_p: options.top_p,
                min_p: options.min_p,
                repetition_penalty: options.repetition_penalty,
                seed: options.seed,
            },
            n_best: options.n_best,
            top_logits: options.top_logits,
            ignore_eos: options.ignore_eos,
            ..GenerateOptions::default()
        };
        let asked = Decoding {
            beams: options.beams,
            length_penalty: options.length_penalty,
            no_repeat_ngram: options.no_repeat_ngram,
            max_new_tokens: options.max_new_tokens,
        };
        let generate = generate.decoded(decoding, asked);
        Ok((options, generate))
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Prefill { done: usize, total: usize },
    Delta { text: &'a str },
    Draft { text: &'a str },
}

/// The result as JavaScript gets it.
#[derive(Serialize)]
struct Written<'a> {
    text: &'a str,
    ids: &'a [u32],
    stop: engine::Stop,
    prompt_tokens: usize,
    reused_tokens: usize,
    score: Option<f64>,
    n_best: &'a [Hypothesis],
    top_logits: &'a [(u32, f32)],
    timings: Timings,
    decode_steps: u64,
    decode_counters: model::Counters,
}

#[wasm_bindgen]
impl Engine {
    /// Name, notice, template, configuration, context, memory, hashes.
    pub fn info(&self) -> Js<JsValue> {
        plain(&self.info)
    }

    /// Writes the impression of findings. `on_event` hears `{type: "prefill", done, total}` and
    /// `{type: "delta", text}`, and while beams are searched `{type: "draft", text}`.
    pub async fn impression(
        &mut self,
        findings: String,
        options_json: String,
        cancel: &CancelToken,
        on_event: Function,
    ) -> Js<JsValue> {
        let (options, generate) =
            Options::parse(&options_json, self.info.decoding).map_err(thrown)?;
        let request = PromptRequest {
            findings: &findings,
            instruction: options.instruction.as_deref(),
            prior: options.prior.as_deref(),
        };
        let cancelled = cancel.0.clone();
        let mut on = |progress: Progress<'_>| tell(&on_event, progress);
        let mut watch = Watch { on: &mut on, cancelled: &|| cancelled.get() };
        let written = self.engine.impression(&request, &generate, &mut watch).await;
        result(&written.map_err(thrown)?)
    }

    /// Continues a prompt of ids.
    pub async fn generate(
        &mut self,
        prompt_ids: Vec<u32>,
        options_json: String,
        cancel: &CancelToken,
        on_event: Function,
    ) -> Js<JsValue> {
        let (_, generate) = Options::parse(&options_json, None).map_err(thrown)?;
        let cancelled = cancel.0.clone();
        let mut on = |progress: Progress<'_>| tell(&on_event, progress);
        let mut watch = Watch { on: &mut on, cancelled: &|| cancelled.get() };
        let written = self.engine.generate(&prompt_ids, &generate, &mut watch).await;
        result(&written.map_err(thrown)?)
    }
}

#[wasm_bindgen]
impl Engine {
    /// Loads a PEFT adapter (the bytes of `adapter_config.json` and `adapter_model.safetensors`) in place
    /// of the one before. The base stays on the device.
    #[wasm_bindgen(js_name = setAdapter)]
    pub async fn set_adapter(&mut self, config: Vec<u8>, weights: Vec<u8>) -> Js<()> {
        let adapter = read_adapter(&config, &weights, &self.info.config).map_err(thrown)?;
        drop(weights); // the factors are in `adapter` now
        self.set(Some(adapter)).await.map_err(thrown)
    }

    /// Drops the adapter: the base alone from here on.
    #[wasm_bindgen(js_name = dropAdapter)]
    pub async fn drop_adapter(&mut self) -> Js<()> {
        self.set(None).await.map_err(thrown)
    }
}

impl Engine {
    async fn set(&mut self, adapter: Option<(Adapter, AdapterInfo)>) -> Result<()> {
        let (adapter, info) = adapter.unzip();
        self.engine.set_adapter(adapter.as_ref()).await?;
        self.info.adapter = info;
        self.info.gpu_bytes = self.engine.executor().device_bytes();
        Ok(())
    }
}

fn tell(on_event: &Function, progress: Progress<'_>) {
    let event = match progress {
        Progress::Prefill { done, total } => Event::Prefill { done, total },
        Progress::Delta(text) => Event::Delta { text },
        Progress::Draft(text) => Event::Draft { text },
    };
    if let Ok(event) = plain(&event) {
        // A listener that throws must not end the generation.
        let _ = on_event.call1(&JsValue::NULL, &event);
    }
}

fn result(generation: &Generation) -> Js<JsValue> {
    plain(&Written {
        text: &generation.text,
        ids: &generation.ids,
        stop: generation.stop,
        prompt_tokens: generation.prompt_ids.len(),
        reused_tokens: generation.reused_tokens,
        score: generation.score,
        n_best: &generation.n_best,
        top_logits: &generation.top_logits,
        timings: generation.timings,
        decode_steps: generation.steady.0,
        decode_counters: generation.steady.1,
    })
}
