//! The Llama forward pass (Touvron et al. 2023), written once: it appends dispatches to a plan, for
//! one token (decode), for T (prefill) or for a token of each beam. Executors run the plan; weight formats only change which
//! shader permutation a product uses.

use super::layout::{Layout, Matrix};
use super::program::{BufferId, BufferSpec, Dispatch, Program};
use super::side::{SidePath, SideProduct};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::kernels::{
    Call, Epilogue, argmax, attention, embed, lora_down, matvec, rms_norm, rope_kv, top_k,
};

/// How many tokens a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    One,
    Many,
    /// Side by side: a token of each beam.
    Beams,
}

/// Most beams of a step: what there are logits and candidates for.
pub const MAX_BEAMS: u32 = 8;

/// Activations and cache; shapes by the letters of [`crate::kernels`].
struct Buffers {
    ids: BufferId,                    // [context + 1]
    rope_table: BufferId,             // [context][Dh / 2] of (cos, sin)
    hidden: BufferId,                 // [T][D], the residual stream
    normed: BufferId,                 // [T][D]
    qkv: BufferId,                    // [T][(H + 2 Hkv) Dh]
    attended: BufferId,               // [T][H Dh]
    activated: BufferId,              // [T][F]
    logits: BufferId,                 // [V]
    top: BufferId,                    // [MAX_K] of (id, logit's bits)
    slots: BufferId,                  // [position - prefix + 1][T] of cache rows
    beam_logits: BufferId,            // [MAX_BEAMS][V]
    candidates: BufferId,             // [T][K] of (id, log-probability's bits)
    cache: Vec<(BufferId, BufferId)>, // a layer's keys and values, [context][Hkv Dh] each
}

/// The side path's place among the buffers.
struct Side<'a> {
    path: &'a SidePath,
    first: usize, // of the path's own buffers
    t: BufferId,  // [T][4 stride], A x
}

/// The program of a model for a context of `context` positions, prefilled `chunk` tokens at a time.
pub fn program(layout: &Layout, context: u32, chunk: u32) -> Result<Program> {
    adapted(layout, context, chunk, None)
}

/// The same with an adapter's side path, whose buffers come last: four dispatches a block more, at most.
pub fn adapted(
    layout: &Layout,
    context: u32,
    chunk: u32,
    side: Option<&SidePath>,
) -> Result<Program> {
    let config = &layout.config;
    if context == 0 || context > config.max_position_embeddings {
        return Err(Error::BadOption {
            option: "context",
            value: format!(
                "{context} (the model was trained for {})",
                config.max_position_embeddings
            ),
            expected: "between 1 and the model's own context",
        });
    }
    let mut buffers = layout.buffers.clone();
    let mut add = |label: &str, words: u64| {
        buffers.push(BufferSpec { label: label.to_string(), words });
        BufferId(buffers.len() - 1)
    };
    let by_token = |width: u32| u64::from(chunk.max(MAX_BEAMS)) * u64::from(width);
    let (q, kv) = (config.attention_size(), config.kv_size());
    let b = Buffers {
        ids: add("ids", u64::from(context) + 1),
        rope_table: add("rope table", u64::from(context) * u64::from(config.head_dim)),
        hidden: add("hidden", by_token(config.hidden_size)),
        normed: add("normed", by_token(config.hidden_size)),
        qkv: add("qkv", by_token(q + 2 * kv)),
        attended: add("attended", by_token(q)),
        activated: add("activated", by_token(config.intermediate_size)),
        logits: add("logits", u64::from(config.vocab_size)),
        top: add("top", 2 * u64::from(top_k::MAX_K)),
        slots: add("slots", u64::from(context)),
        beam_logits: add("beam logits", u64::from(MAX_BEAMS) * u64::from(config.vocab_size)),
        candidates: add("candidates", 2 * u64::from(MAX_BEAMS * top_k::MAX_K)),
        cache: (0..config.num_hidden_layers)
            .map(|i| {
                let words = u64::from(context) * u64::from(kv);
                (add(&format!("keys {i}"), words), add(&format!("values {i}"), words))
            })
            .collect(),
    };
    let first = buffers.len();
    let side = side.map(|path| {
        buffers.extend(path.buffers.iter().map(|(spec, _)| spec.clone()));
        let words = by_token(path.widest()).max(4);
        buffers.push(BufferSpec { label: "lora t".to_string(), words });
        Side { path, first, t: BufferId(buffers.len() - 1) }
    });
    let mut program = Program {
        buffers,
        side: first,
        ids: b.ids,
        logits: b.logits,
        top: b.top,
        slots: b.slots,
        candidates: b.candidates,
        rope_table: b.rope_table,
        context,
        chunk,
        ..Program::default()
    };
    layers(layout, &b, Tokens::One, side.as_ref(), &mut program.decode);
    head(layout, &b, &mut program.decode);
    layers(layout, &b, Tokens::Many, side.as_ref(), &mut program.prefill);
    head(layout, &b, &mut program.head);
    let k = top_k::MAX_K.min(config.vocab_size);
    let params = top_k::Params { vocab: config.vocab_size, k, log_probs: 0, pad: 0 };
    program.top_k.push(Dispatch { call: Call::TopK(params), buffers: vec![b.logits, b.top] });
    let likeliest = Call::TopK(top_k::Params { log_probs: 1, ..params });
    let start = vec![b.logits, b.candidates];
    program.beam_start.push(Dispatch { call: likeliest, buffers: start });
    layers(layout, &b, Tokens::Beams, side.as_ref(), &mut program.beam);
    beam_head(layout, &b, likeliest, &mut program.beam);
    Ok(program)
}

/// Ids to the last residual stream: eight dispatches a block, one more for each product with a side
/// path.
fn layers(
    layout: &Layout,
    b: &Buffers,
    tokens: Tokens,
    side: Option<&Side<'_>>,
    plan: &mut Vec<Dispatch>,
) {
    let config = &layout.config;
    let mut push = |call, buffers: &[BufferId]| {
        plan.push(Dispatch { call, buffers: buffers.to_vec() });
    };
    let norm = norm(config, 0);
    let rope = rope_kv::Params {
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        pad: 0,
    };
    let attention = attention::Params {
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        scale: 1.0 / (config.head_dim as f32).sqrt(),
    };
    let embedding = layout.embedding;
    let embed = embed::Params { dim: config.hidden_size, vocab: config.vocab_size, pad: [0; 2] };
    push(
        Call::Embed(embedding.format, embed),
        &[embedding.codes, embedding.scales, b.ids, b.hidden],
    );
    for (i, (layer, (keys, values))) in layout.layers.iter().zip(&b.cache).enumerate() {
        let own = side.and_then(|side| side.path.layers.get(i).map(|layer| (side, layer)));
        push(norm, &[b.hidden, layer.attention_norm, b.normed]);
        let lora = own.and_then(|(side, layer)| Some((side, layer.qkv?)));
        product(&mut push, tokens, layer.qkv, Epilogue::Store, b.normed, b.qkv, lora);
        push(Call::RopeKv(rope), &[b.rope_table, b.qkv, *keys, *values]);
        match tokens {
            Tokens::Beams => {
                push(Call::BeamAttention(attention), &[b.qkv, *keys, *values, b.slots, b.attended])
            }
            _ => push(Call::Attention(attention), &[b.qkv, *keys, *values, b.attended]),
        }
        let lora = own.and_then(|(side, layer)| Some((side, layer.output?)));
        product(&mut push, tokens, layer.output, Epilogue::Add, b.attended, b.hidden, lora);
        push(norm, &[b.hidden, layer.ffn_norm, b.normed]);
        let lora = own.and_then(|(side, layer)| Some((side, layer.gate_up?)));
        product(&mut push, tokens, layer.gate_up, Epilogue::Swiglu, b.normed, b.activated, lora);
        let lora = own.and_then(|(side, layer)| Some((side, layer.down?)));
        product(&mut push, tokens, layer.down, Epilogue::Add, b.activated, b.hidden, lora);
    }
}

/// The step's last token to logits and to the next id: three dispatches.
fn head(layout: &Layout, b: &Buffers, plan: &mut Vec<Dispatch>) {
    let config = &layout.config;
    let mut push = |call, buffers: &[BufferId]| {
        plan.push(Dispatch { call, buffers: buffers.to_vec() });
    };
    push(norm(config, 1), &[b.hidden, layout.final_norm, b.normed]);
    product(&mut push, Tokens::One, layout.lm_head, Epilogue::Store, b.normed, b.logits, None);
    let params = argmax::Params { vocab: config.vocab_size, pad: [0; 3] };
    push(Call::Argmax(params), &[b.logits, b.ids]);
}

/// Every beam's token to its likeliest successors: three dispatches.
fn beam_head(layout: &Layout, b: &Buffers, likeliest: Call, plan: &mut Vec<Dispatch>) {
    let mut push = |call, buffers: &[BufferId]| {
        plan.push(Dispatch { call, buffers: buffers.to_vec() });
    };
    push(norm(&layout.config, 0), &[b.hidden, layout.final_norm, b.normed]);
    product(
        &mut push,
        Tokens::Beams,
        layout.lm_head,
        Epilogue::Store,
        b.normed,
        b.beam_logits,
        None,
    );
    push(likeliest, &[b.beam_logits, b.candidates]);
}

fn norm(config: &LlamaConfig, last_only: u32) -> Call {
    let (dim, eps) = (config.hidden_size, config.rms_norm_eps);
    Call::RmsNorm(rms_norm::Params { dim, eps, last_only, pad: 0 })
}

fn product(
    push: &mut impl FnMut(Call, &[BufferId]),
    tokens: Tokens,
    weight: Matrix,
    epilogue: Epilogue,
    x: BufferId,
    out: BufferId,
    lora: Option<(&Side<'_>, SideProduct)>,
) {
    let rows = if epilogue == Epilogue::Swiglu { weight.rows / 2 } else { weight.rows };
    if let Some((side, SideProduct { a, b, params })) = lora {
        let (a, b) = (BufferId(side.first + a), BufferId(side.first + b));
        let factors = side.path.factors;
        let down =
            lora_down::Params { rows: 4 * params.stride, quads: weight.cols / 4, pad: [0; 2] };
        push(Call::LoraDown(factors, down), &[a, x, side.t]);
        let call = match tokens {
            Tokens::One => Call::MatvecLora(weight.format, epilogue, factors, params),
            Tokens::Many => Call::MatmulLora(weight.format, epilogue, factors, params),
            Tokens::Beams => Call::MatvecsLora(weight.format, epilogue, factors, params),
        };
        push(call, &[weight.codes, weight.scales, x, b, side.t, out]);
        return;
    }
    let params = matvec::Params::new(rows, weight.cols);
    let call = match tokens {
        Tokens::One => Call::Matvec(weight.format, epilogue, params),
        Tokens::Many => Call::Matmul(weight.format, epilogue, params),
        Tokens::Beams => Call::Matvecs(weight.format, epilogue, params),
    };
    push(call, &[weight.codes, weight.scales, x, out]);
}
