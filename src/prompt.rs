//! Prompts: a report's findings in the instruction template a model was tuned with.
//!
//! What a user writes is text and nothing else: control tokens come from the template only.
//! Everything before the report is a *static prefix* with the same ids for every report, so that its
//! KV cache can be kept.

use std::borrow::Cow;

use crate::tokenizer::{Part, Tokenizer};
use crate::{Error, Result};

/// The instruction of Radiology-GPT and Radiology-Llama2 (Liu et al. 2023), as their tuning data
/// words it.
pub const INSTRUCTION: &str = "Derive the impression from findings in the radiology report";

/// Longest findings, prior report or instruction that is looked at, in bytes of UTF-8: a thousand
/// times a long report.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// What an untuned instruct model is told it is. Short: a small model follows one sentence better
/// than five.
const SYSTEM: &str = "You are a radiologist. Reply with only the impression of the report: one to three short \
sentences that state the diagnosis and the important findings. Do not repeat normal findings.";

/// An instruction template. A model's manifest names the one it was tuned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    /// Stanford Alpaca's with an input, which Radiology-GPT and Radiology-Llama2 were tuned with.
    Alpaca,
    /// ChatML (`<|im_start|>role … <|im_end|>`): SmolLM2-Instruct and many others.
    ChatMl,
    /// Llama-2-chat's `[INST] <<SYS>> … [/INST]`.
    Llama2,
    /// The report's own headings and nothing else, for a model tuned to do this one thing: half the
    /// tokens of the others. An instruction comes first where one is given.
    Report,
}

impl Template {
    /// Every template.
    pub const ALL: [Template; 4] = [Self::Alpaca, Self::ChatMl, Self::Llama2, Self::Report];

    /// The template of a manifest's name for it: `alpaca`, `chatml`, `llama2` or `report`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.name() == name)
    }

    /// The template whose marks are in the model's own chat template, or else Alpaca's, which any model can
    /// read.
    pub fn of(tokenizer: &Tokenizer) -> Template {
        let chat = tokenizer.chat_template().unwrap_or_default();
        if chat.contains("<|im_start|>") && tokenizer.control("<|im_start|>").is_some() {
            Self::ChatMl
        } else if chat.contains("[INST]") {
            Self::Llama2
        } else {
            Self::Alpaca
        }
    }

    /// The manifest's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::ChatMl => "chatml",
            Self::Llama2 => "llama2",
            Self::Report => "report",
        }
    }

    /// What stands before the report.
    fn before(self, given: Option<&str>) -> Vec<Part<'_>> {
        use Part::{Control, Text};
        let instruction = given.unwrap_or(INSTRUCTION);
        match self {
            Self::Alpaca => vec![
                Text(
                    "Below is an instruction that describes a task, paired with an input that provides further \
                     context. Write a response that appropriately completes the request.\n\n### Instruction:\n",
                ),
                Text(instruction),
                Text("\n\n### Input:\n"),
            ],
            Self::ChatMl => vec![
                Control("<|im_start|>"),
                Text("system\n"),
                Text(SYSTEM),
                Control("<|im_end|>"),
                Text("\n"),
                Control("<|im_start|>"),
                Text("user\n"),
                Text(instruction),
                Text("\n\n"),
            ],
            Self::Llama2 => vec![
                Text("[INST] <<SYS>>\n"),
                Text(SYSTEM),
                Text("\n<</SYS>>\n\n"),
                Text(instruction),
                Text("\n\n"),
            ],
            Self::Report => {
                given.into_iter().flat_map(|given| [Text(given), Text("\n\n")]).collect()
            }
        }
    }

    /// What stands after the report, up to where the answer begins.
    fn after(self) -> &'static [Part<'static>] {
        use Part::{Control, Text};
        match self {
            Self::Alpaca => &[Text("\n\n### Response:")],
            Self::ChatMl => {
                &[Control("<|im_end|>"), Text("\n"), Control("<|im_start|>"), Text("assistant\n")]
            }
            Self::Llama2 => &[Text(" [/INST]")],
            Self::Report => &[Text("\nImpression:")],
        }
    }
}

impl std::str::FromStr for Template {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Template::from_name(name).ok_or_else(|| Error::BadOption {
            option: "template",
            value: name.to_owned(),
            expected: "alpaca, chatml, llama2 or report",
        })
    }
}

impl Template {
    /// What an answer begins with where the prompt does not end in whitespace.
    fn lead(self) -> &'static str {
        match self {
            Self::ChatMl => "",
            Self::Alpaca | Self::Llama2 | Self::Report => " ",
        }
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptRequest<'t> {
    /// The findings of the report.
    pub findings: &'t str,
    /// Another instruction than [`INSTRUCTION`].
    pub instruction: Option<&'t str>,
    /// A prior report's text to compare with. No published template has it: it is an addition of
    /// this project, put before the findings as `Prior: …`.
    pub prior: Option<&'t str>,
}

impl<'t> PromptRequest<'t> {
    /// A request with the template's own instruction and no prior report.
    pub fn new(findings: &'t str) -> Self {
        Self { findings, ..Self::default() }
    }
}

/// The ids of a whole prompt, BOS included where the model wants it, ready for prefill.
///
/// `context` and `max_new_tokens` are in tokens; the prompt and the answer must fit together. Findings
/// far too long are encoded all the same, so that the counts of the error are true: a megabyte takes
/// about a second. Only beyond [`MAX_TEXT_BYTES`] is a text refused unencoded.
///
/// # Errors
/// [`Error::EmptyFindings`]; [`Error::BadText`] for control characters other than newline, carriage
/// return and tab, or more than [`MAX_TEXT_BYTES`]; [`Error::PromptTooLong`], as nothing is ever cut off; [`Error::BadTokenizer`] when
/// the vocabulary lacks a control token of the template.
pub fn build(
    tokenizer: &Tokenizer,
    template: Template,
    request: &PromptRequest<'_>,
    context: usize,
    max_new_tokens: usize,
) -> Result<Vec<u32>> {
    let findings = clean("findings", request.findings)?;
    if findings.is_empty() {
        return Err(Error::EmptyFindings);
    }
    let prior = request.prior.map(|prior| clean("prior report", prior)).transpose()?;

    let prior = prior.as_deref().filter(|prior| !prior.is_empty());
    let mut ids = static_prefix(tokenizer, template, request.instruction, prior.is_some())?;
    let mut parts = vec![Part::Text(" ")];
    if let Some(prior) = prior {
        parts.extend([Part::Text(prior), Part::Text("\n\nFindings: ")]);
    }
    parts.push(Part::Text(&findings));
    parts.extend_from_slice(template.after());
    ids.extend(tokenizer.encode_parts_at(&parts, false)?);

    if ids.len().saturating_add(max_new_tokens) > context {
        return Err(Error::PromptTooLong { prompt_tokens: ids.len(), max_new_tokens, context });
    }
    Ok(ids)
}

/// The ids of an answer as a model is tuned to write it after [`build`]'s prompt, end token included.
///
/// # Errors
/// [`Error::BadText`] as in [`build`], or for an empty answer; [`Error::BadTokenizer`] when the
/// vocabulary has no end token.
pub fn answer(tokenizer: &Tokenizer, template: Template, text: &str) -> Result<Vec<u32>> {
    let text = clean("impression", text)?;
    if text.is_empty() {
        return Err(Error::BadText { what: "(impression) is empty".to_owned() });
    }
    let end = tokenizer.eos().ok_or_else(|| Error::BadTokenizer {
        what: "the vocabulary has no end token".to_owned(),
    })?;
    let parts = [Part::Text(template.lead()), Part::Text(&text)];
    let mut ids = tokenizer.encode_parts_at(&parts, false)?;
    ids.push(end);
    Ok(ids)
}

/// The ids that every prompt of this template and instruction begins with, whatever the report:
/// [`build`] encodes them on their own and the rest after them. They end in the colon of `Findings:`
/// (`Prior:` for a prompt with a prior report). No supported vocabulary merges across that colon and
/// the space after it, so the ids are those of the undivided text.
///
/// # Errors
/// As [`build`].
pub fn static_prefix(
    tokenizer: &Tokenizer,
    template: Template,
    instruction: Option<&str>,
    with_prior: bool,
) -> Result<Vec<u32>> {
    let instruction = instruction.map(|text| clean("instruction", text)).transpose()?;
    let mut ids: Vec<u32> = tokenizer.bos().filter(|_| tokenizer.add_bos()).into_iter().collect();
    let mut parts = template.before(instruction.as_deref());
    parts.push(Part::Text(if with_prior { "Prior:" } else { "Findings:" }));
    let body = tokenizer.encode_parts(&parts)?;
    // ChatML spells its first token itself, and that is BOS in some vocabularies: never twice.
    if ids.first() == body.first() {
        ids.clear();
    }
    ids.extend(body);
    Ok(ids)
}

/// `text` without surrounding whitespace and with plain newlines, or an error naming the first
/// character that is not text by number and place, never by its surroundings.
fn clean<'t>(name: &str, text: &'t str) -> Result<Cow<'t, str>> {
    if text.len() > MAX_TEXT_BYTES {
        let what = format!("({name}) has {} bytes, more than {MAX_TEXT_BYTES}", text.len());
        return Err(Error::BadText { what });
    }
    let allowed = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if let Some((position, c)) = text.chars().enumerate().find(|&(_, c)| !allowed(c)) {
        let what = format!(
            "({name}) has the control character U+{:04X} at character {}",
            u32::from(c),
            position + 1
        );
        return Err(Error::BadText { what });
    }
    let text = text.trim();
    if text.contains('\r') {
        return Ok(Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")));
    }
    Ok(Cow::Borrowed(text))
}
