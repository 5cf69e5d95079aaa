//! A model on whichever backend, and what to tell of a generation.

use std::collections::BTreeMap;

use radllama::Result;
use radllama::cpu::CpuExecutor;
use radllama::engine::{Engine, GenerateOptions, Generation, Progress, Watch};
use radllama::gpu::{Gpu, GpuExecutor};
use radllama::native::ModelFiles;
use radllama::prompt::PromptRequest;
use radllama::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::args::{Backend, ModelArgs};
use super::{output, stop};

/// A loaded model.
pub(crate) struct Session {
    engine: AnyEngine,
    /// What runs it.
    pub(crate) adapter: String,
    /// Which variant each kernel runs as.
    pub(crate) variants: BTreeMap<&'static str, &'static str>,
}

enum AnyEngine {
    Gpu(Box<Engine<GpuExecutor>>),
    Cpu(Box<Engine<CpuExecutor>>),
}

/// What to generate from.
pub(crate) enum Prompt<'a> {
    Ids(&'a [u32]),
    Report(PromptRequest<'a>),
}

impl Session {
    /// Loads a model.
    pub(crate) fn open(files: &ModelFiles, args: &ModelArgs) -> Result<Session> {
        let gpu = match args.backend {
            Backend::Gpu => Some(pollster::block_on(Gpu::open(Default::default()))?),
            Backend::Cpu => None,
        };
        let bar = output::bytes_bar("loading", files.total_bytes());
        let progress = &mut |done, _| bar.set_position(done);
        let session = match gpu {
            Some(gpu) => {
                let (executor, tokenizer, kernels) =
                    files.gpu_executor(&gpu, args.context, progress)?;
                let engine = AnyEngine::Gpu(Box::new(files.engine(executor, tokenizer)?));
                Session { engine, adapter: gpu.name(), variants: kernels.chosen() }
            }
            None => {
                let (executor, tokenizer) = files.cpu_executor(args.context, progress)?;
                let engine = AnyEngine::Cpu(Box::new(files.engine(executor, tokenizer)?));
                Session { engine, adapter: "CPU twins".to_owned(), variants: BTreeMap::new() }
            }
        };
        bar.finish_and_clear();
        Ok(session)
    }

    /// The model's tokenizer.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        match &self.engine {
            AnyEngine::Gpu(engine) => engine.tokenizer(),
            AnyEngine::Cpu(engine) => engine.tokenizer(),
        }
    }

    /// Generates; with `stream` the text goes to stdout as it comes, with a newline at its end.
    pub(crate) fn generate(
        &mut self,
        prompt: &Prompt<'_>,
        options: &GenerateOptions,
        stream: bool,
    ) -> Result<Generation> {
        let bar = output::steps_bar("reading", 0);
        let mut printed = Ok(());
        let mut on = |news: Progress<'_>| match news {
            Progress::Prefill { done, total } if done < total => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            Progress::Prefill { .. } => bar.finish_and_clear(),
            Progress::Delta(text) if stream && printed.is_ok() => printed = output::text(text),
            Progress::Delta(_) | Progress::Draft(_) => {}
        };
        let mut watch = Watch { on: &mut on, cancelled: &stop::asked };
        let generation = pollster::block_on(async {
            match (&mut self.engine, prompt) {
                (AnyEngine::Gpu(e), Prompt::Ids(ids)) => e.generate(ids, options, &mut watch).await,
                (AnyEngine::Cpu(e), Prompt::Ids(ids)) => e.generate(ids, options, &mut watch).await,
                (AnyEngine::Gpu(e), Prompt::Report(r)) => {
                    e.impression(r, options, &mut watch).await
                }
                (AnyEngine::Cpu(e), Prompt::Report(r)) => {
                    e.impression(r, options, &mut watch).await
                }
            }
        });
        bar.finish_and_clear();
        let generation = generation?;
        printed?;
        if stream {
            output::line("")?;
        }
        Ok(generation)
    }

    /// What `--json` says of a generation.
    pub(crate) fn json(&self, generation: &Generation) -> Value {
        json!({
            "prompt_ids": generation.prompt_ids,
            "ids": generation.ids,
            "text": generation.text,
            "stop": generation.stop,
            "score": generation.score,
            "n_best": generation.n_best,
            "top_logits": generation.top_logits,
            "prefill_tokens_per_s": generation.timings.prefill_tokens_per_s,
            "decode_tokens_per_s": generation.timings.decode_tokens_per_s,
            "prefill_ms": generation.timings.prefill_ms,
            "decode_ms": generation.timings.decode_ms,
            "adapter": self.adapter,
            "variants": self.variants,
        })
    }
}
