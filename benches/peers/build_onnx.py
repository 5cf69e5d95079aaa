"""Writes a llama GGUF (Q4_1 and Q4_0 matrices, Q8_0 embedding) as the ONNX model of
transformers.js: the same weights for the peer as for us.

    python build_onnx.py --model SmolLM2-135M-Instruct.Q4_1.gguf --out DIR

DIR gets config.json, generation_config.json and onnx/model_q4.onnx. The graph is
the shape that ONNX Runtime's own model builder writes for Llama: MatMulNBits,
GroupQueryAttention with rotary embedding inside, SkipSimplifiedLayerNormalization
for each residual + norm, and lm_head on the last position only.

Minima. ONNX Runtime's WebGPU MatMulNBits knows only integer zero points, and
Q4_1's w = d * q + m has a real one, -m / d.
  --minimum exact   codes and scales as they stand with zero point 8, and the rest,
                    (m + 8 d) times the sum of x over the block, as a second small
                    matmul: the same model to the last f32 rounding, but slower
  --minimum round   each block fitted anew to an integer zero point (default): the
                    peer's own format and its fastest form, but another model: other text
"""

import argparse
import json
import pathlib

import numpy as np
import onnx
from gguf import GGMLQuantizationType as Kind, GGUFReader
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32
MS = "com.microsoft"


def half(raw):
    return raw.copy().view(np.float16).astype(np.float32)


def four_bit(tensor):
    """(codes [N, K], d [N, K/32], m [N, K/32]) of a 4-bit tensor, w = d * q + m."""
    rows, cols = int(tensor.shape[1]), int(tensor.shape[0])
    size = {Kind.Q4_1: 20, Kind.Q4_0: 18}[tensor.tensor_type]
    blocks = np.asarray(tensor.data).reshape(-1, size)
    d = half(blocks[:, 0:2])
    m = half(blocks[:, 2:4]) if size == 20 else -8 * d
    packed = blocks[:, size - 16:]
    codes = np.concatenate([packed & 15, packed >> 4], axis=1)
    per_row = cols // BLOCK
    return codes.reshape(rows, cols), d.reshape(rows, per_row), m.reshape(rows, per_row)


def integer_zero_point(codes, d, m):
    """The block fitted anew as d' * (q' - z), z an integer of 0 to 15."""
    rows, cols = codes.shape
    w = (d[..., None] * codes.reshape(rows, -1, BLOCK) + m[..., None]).astype(np.float32)
    low, high = np.minimum(w.min(-1), 0), np.maximum(w.max(-1), 0)
    step = np.maximum((high - low) / 15, 1e-12)
    zero = np.clip(np.rint(-low / step), 0, 15)
    q = np.clip(np.rint(w / step[..., None]) + zero[..., None], 0, 15)
    return q.astype(np.uint8).reshape(rows, cols), step.astype(np.float32), zero.astype(np.uint8)


def half_split(matrix, heads):
    """Rows of q and k from GGUF's interleaved pairs to the half-split order."""
    per_head = matrix.shape[0] // heads
    shaped = matrix.reshape(heads, per_head // 2, 2, *matrix.shape[1:])
    return np.ascontiguousarray(shaped.swapaxes(1, 2).reshape(matrix.shape))


class Graph:
    """Collects nodes and initializers."""

    def __init__(self, minimum, accuracy_level):
        self.nodes, self.initializers, self.known, self.sums = [], [], set(), {}
        self.minimum, self.accuracy_level = minimum, accuracy_level

    def const(self, name, array):
        if name not in self.known:
            self.known.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, outputs, domain="", **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"/{outputs[0]}/{op}",
                                           domain=domain, **attributes))
        return outputs[0]

    def n_bits(self, x, name, blob, scales, zero, shape, bits):
        inputs = [x, self.const(f"{name}.codes", blob), self.const(f"{name}.scales", scales)]
        if zero is not None:
            inputs.append(self.const(f"{name}.zero_points", zero))
        return self.node("MatMulNBits", inputs, f"{name}.out", MS, N=shape[0], K=shape[1],
                         bits=bits, block_size=BLOCK, accuracy_level=self.accuracy_level)

    def matmul4(self, x, name, tensor, heads=None):
        """x [B, T, K] times a 4-bit matrix; `heads` un-permutes q and k."""
        codes, d, m = four_bit(tensor)
        if heads:
            codes, d, m = (half_split(part, heads) for part in (codes, d, m))
        zero, rest = None, None
        if tensor.tensor_type != Kind.Q4_0:
            if self.minimum == "round":
                codes, d, zero = integer_zero_point(codes, d, m)
                zero = (zero[:, 0::2] | (zero[:, 1::2] << 4)).astype(np.uint8).reshape(-1)
            else:
                rest = m + 8 * d
        rows, cols = codes.shape
        blob = (codes[:, 0::2] | (codes[:, 1::2] << 4)).reshape(rows, cols // BLOCK, BLOCK // 2)
        out = self.n_bits(x, name, blob, d.reshape(-1), zero, (rows, cols), 4)
        if rest is None:
            return out
        minima = self.const(f"{name}.minima", rest.T)
        part = self.node("MatMul", [self.block_sums(x, cols), minima], f"{name}.minimum")
        return self.node("Add", [out, part], f"{name}.sum")

    def block_sums(self, x, cols):
        """Sums of x over its blocks [B, T, K/32], once for all matrices that read x."""
        if x not in self.sums:
            shape = self.const(f"blocks_{cols}", np.array([0, 0, cols // BLOCK, BLOCK], np.int64))
            axis = self.const("last_axis", np.array([-1], np.int64))
            blocks = self.node("Reshape", [x, shape], f"{x}.blocks")
            self.sums[x] = self.node("ReduceSum", [blocks, axis], f"{x}.sums", keepdims=0)
        return self.sums[x]


def build(path, minimum, accuracy_level, context, wasm):
    reader = GGUFReader(str(path))
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def meta(key):
        return reader.fields[f"llama.{key}"].contents()

    layers, hidden, ffn = meta("block_count"), meta("embedding_length"), meta("feed_forward_length")
    heads, kv_heads = meta("attention.head_count"), meta("attention.head_count_kv")
    eps, base = meta("attention.layer_norm_rms_epsilon"), meta("rope.freq_base")
    head_dim, vocab = hidden // heads, int(tensors["token_embd.weight"].shape[1])
    graph = Graph(minimum, accuracy_level)

    # How many positions are valid: GroupQueryAttention wants (count - 1) and the total.
    one, first_axis = np.array([1], np.int64), graph.const("axis_1", np.array([1], np.int64))
    count = graph.node("ReduceSum", ["attention_mask", first_axis], "mask_sum", keepdims=0)
    less = graph.node("Sub", [count, graph.const("one", one)], "mask_sum_less_1")
    seqlens = graph.node("Cast", [less], "seqlens_k", to=TensorProto.INT32)
    shape = graph.node("Shape", ["attention_mask"], "mask_shape")
    index = graph.const("index_1", np.array(1, np.int64))
    total64 = graph.node("Gather", [shape, index], "total_64", axis=0)
    total = graph.node("Cast", [total64], "total", to=TensorProto.INT32)

    angle = np.outer(np.arange(context), base ** (-np.arange(head_dim // 2) / (head_dim // 2)))
    cos = graph.const("cos_cache", np.cos(angle).astype(np.float32))
    sin = graph.const("sin_cache", np.sin(angle).astype(np.float32))

    embedding = tensors["token_embd.weight"]
    if embedding.tensor_type != Kind.Q8_0:
        raise SystemExit("only a Q8_0 embedding is read here")
    blocks = np.asarray(embedding.data).reshape(-1, 34)
    scales = half(blocks[:, :2]).reshape(vocab, hidden // BLOCK)
    codes = (blocks[:, 2:].view(np.int8).astype(np.int16) + 128).astype(np.uint8)
    if wasm:
        table = (codes.astype(np.float32) - 128).reshape(vocab, -1, BLOCK) * scales[..., None]
        x = graph.node("Gather", [graph.const("embed", table.reshape(vocab, hidden)), "input_ids"],
                       "embed.out", axis=0)
    else:
        x = graph.node("GatherBlockQuantized", [
            graph.const("embed.codes", codes.reshape(vocab, hidden)), "input_ids",
            graph.const("embed.scales", scales),
            graph.const("embed.zero_points", np.full_like(scales, 128, dtype=np.uint8)),
        ], "embed.out", MS, bits=8, block_size=BLOCK, gather_axis=0, quantize_axis=1)

    def gain(name):
        return graph.const(name, np.asarray(tensors[name].data, np.float32))

    h = graph.node("SimplifiedLayerNormalization", [x, gain("blk.0.attn_norm.weight")],
                   "blk.0.attn_norm.out", epsilon=eps, axis=-1, stash_type=1)

    def residual_norm(x, y, name):
        """(norm(x + y), x + y)"""
        out = [f"{name}.out", "", "", f"{name}.residual"]
        graph.node("SkipSimplifiedLayerNormalization", [x, y, gain(name)], out, MS, epsilon=eps)
        return out[0], out[3]

    for layer in range(layers):
        p = f"blk.{layer}."

        def w(name, p=p):
            return tensors[f"{p}{name}.weight"]

        q = graph.matmul4(h, p + "attn_q", w("attn_q"), heads)
        k = graph.matmul4(h, p + "attn_k", w("attn_k"), kv_heads)
        v = graph.matmul4(h, p + "attn_v", w("attn_v"))
        mixed = graph.node("GroupQueryAttention", [
            q, k, v, f"past_key_values.{layer}.key", f"past_key_values.{layer}.value",
            seqlens, total, cos, sin,
        ], [p + "attn.out", f"present.{layer}.key", f"present.{layer}.value"], MS,
            num_heads=heads, kv_num_heads=kv_heads, do_rotary=1, rotary_interleaved=0,
            scale=float(head_dim ** -0.5), local_window_size=-1)
        y = graph.matmul4(mixed, p + "attn_output", w("attn_output"))
        h, x = residual_norm(x, y, p + "ffn_norm.weight")
        gate = graph.matmul4(h, p + "ffn_gate", w("ffn_gate"))
        up = graph.matmul4(h, p + "ffn_up", w("ffn_up"))
        sigmoid = graph.node("Sigmoid", [gate], p + "sigmoid")
        silu = graph.node("Mul", [gate, sigmoid], p + "silu")
        y = graph.matmul4(graph.node("Mul", [silu, up], p + "act"), p + "ffn_down", w("ffn_down"))
        name = f"blk.{layer + 1}.attn_norm.weight" if layer + 1 < layers else "output_norm.weight"
        h, x = residual_norm(x, y, name)

    last = graph.node("Slice", [h, graph.const("minus_1", np.array([-1], np.int64)),
                                graph.const("end", np.array([2**31 - 1], np.int64)), first_axis], "last")
    out = graph.n_bits(last, "lm_head", codes.reshape(vocab, hidden // BLOCK, BLOCK),
                       scales.reshape(-1), None, (vocab, hidden), 8)
    graph.node("Identity", [out], "logits")

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
              value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"])]
    outputs = [value("logits", TensorProto.FLOAT, ["batch_size", 1, vocab])]
    for layer in range(layers):
        for part in ("key", "value"):
            inputs.append(value(f"past_key_values.{layer}.{part}", TensorProto.FLOAT,
                                ["batch_size", kv_heads, "past_sequence_length", head_dim]))
            outputs.append(value(f"present.{layer}.{part}", TensorProto.FLOAT,
                                 ["batch_size", kv_heads, "total_sequence_length", head_dim]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "llama", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(MS, 1)], ir_version=10)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "rms_norm_eps": eps, "rope_theta": base, "max_position_embeddings": context,
        "tie_word_embeddings": True, "bos_token_id": 1, "hidden_act": "silu",
    }
    return model, config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minimum", choices=["round", "exact"], default="round")
    parser.add_argument("--accuracy-level", type=int, default=0,
                        help="MatMulNBits' own: 4 lets it round activations to 8 bits")
    parser.add_argument("--wasm", action="store_true",
                        help="embedding in f32: the wasm build has no 8-bit gather")
    parser.add_argument("--context", type=int, default=2048)
    args = parser.parse_args()
    model, config = build(args.model, args.minimum, args.accuracy_level, args.context, args.wasm)
    (args.out / "onnx").mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(args.out / "onnx" / "model_q4.onnx"))
    (args.out / "config.json").write_text(json.dumps(config, indent=1))
    # No end token: a benchmark wants every run to have the same number of steps.
    generation = {"bos_token_id": 1, "pad_token_id": 2}
    (args.out / "generation_config.json").write_text(json.dumps(generation))


if __name__ == "__main__":
    main()
