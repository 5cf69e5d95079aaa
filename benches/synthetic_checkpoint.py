"""A Hugging Face checkpoint of Llama-2-7B's shape with random weights, and a random PEFT adapter for it.

    python benches/synthetic_checkpoint.py --output DIR [--layers 32] [--rank 16]

Writes DIR/base (config.json, tokenizer.json, F16 shards of 2 GB with their index: 13.5 GB with all layers) and
DIR/adapter (all seven matrices). Needs numpy and gguf; the vocabulary is tests/vectors/ggml-vocab-llama-spm.gguf, which
is Llama 2's. For measuring what a merge takes, not for any answer.
"""

import argparse
import json
import pathlib
import struct

import gguf
import numpy as np

D, F, HEADS, V = 4096, 11008, 32, 32000
ROOT = pathlib.Path(__file__).parent.parent
MATRICES = {
    "self_attn.q_proj": (D, D), "self_attn.k_proj": (D, D), "self_attn.v_proj": (D, D), "self_attn.o_proj": (D, D),
    "mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F),
}  # fmt: skip
SHARD_BYTES = 2 * 10**9


class Pool:
    """Random bytes of normal weights: pieces of one pool, from random places. Fast, and no two tensors alike."""

    def __init__(self, deviation, dtype, seed):
        self.rng = np.random.default_rng(seed)
        self.pool = memoryview((self.rng.standard_normal(1 << 23) * deviation).astype(dtype)).cast("B")
        self.item = np.dtype(dtype).itemsize

    def write(self, file, count):
        left = count * self.item
        while left:
            piece = min(left, 1 << 20)
            start = int(self.rng.integers((len(self.pool) - piece) // self.item)) * self.item
            file.write(self.pool[start : start + piece])
            left -= piece


def tensors(layers):
    yield "model.embed_tokens.weight", (V, D)
    for i in range(layers):
        yield f"model.layers.{i}.input_layernorm.weight", (D,)
        for name, shape in MATRICES.items():
            yield f"model.layers.{i}.{name}.weight", shape
        yield f"model.layers.{i}.post_attention_layernorm.weight", (D,)
    yield "model.norm.weight", (D,)
    yield "lm_head.weight", (V, D)


def write_file(path, entries, dtype, item, fill):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in entries:
        size = int(np.prod(shape)) * item
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in entries:
            fill(file, name, shape)
    return end


def write_base(out, layers):
    out.mkdir(parents=True, exist_ok=True)
    shards, size = [[]], 0
    for name, shape in tensors(layers):
        size += 2 * int(np.prod(shape))
        if size > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 2 * int(np.prod(shape))
        shards[-1].append((name, shape))
    pool, ones = Pool(0.02, np.float16, 1), np.ones(D, np.float16).tobytes()

    def fill(file, _, shape):
        if len(shape) == 1:
            file.write(ones)
        else:
            pool.write(file, int(np.prod(shape)))

    total, where = 0, {}
    for no, entries in enumerate(shards):
        name = f"model-{no + 1:05}-of-{len(shards):05}.safetensors"
        total += write_file(out / name, entries, "F16", 2, fill)
        where.update({tensor: name for tensor, _ in entries})
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": D,
        "intermediate_size": F, "num_hidden_layers": layers, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "vocab_size": V, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_scaling": None,
        "tie_word_embeddings": False, "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=2))
    (out / "tokenizer.json").write_text(json.dumps(tokenizer()))


def tokenizer():
    """tokenizer.json from the scores: each piece's merges, in the order of the ids; spaces alone come last."""
    fields = gguf.GGUFReader(ROOT / "tests/vectors/ggml-vocab-llama-spm.gguf").fields
    tokens = [str(bytes(fields["tokenizer.ggml.tokens"].parts[i]), "utf-8") for i in fields["tokenizer.ggml.tokens"].data]
    vocab = {token: i for i, token in enumerate(tokens)}
    pieces = sorted(range(259, len(tokens)), key=lambda i: (set(tokens[i]) == {"\u2581"}, i))
    merges = []
    for i in pieces:
        token = tokens[i]
        splits = ((token[:k], token[k:]) for k in range(1, len(token)))
        merges += [f"{a} {b}" for a, b in splits if a in vocab and b in vocab]
    added = [{"id": i, "content": token, "special": True} for i, token in enumerate(["<unk>", "<s>", "</s>"])]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]}
    model = {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "vocab": vocab, "merges": merges}
    return {"added_tokens": added, "normalizer": normalizer, "model": model}


def write_adapter(out, layers, rank):
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for i in range(layers):
        for name, (rows, cols) in MATRICES.items():
            module = f"base_model.model.model.layers.{i}.{name}"
            entries += [(f"{module}.lora_A.weight", (rank, cols)), (f"{module}.lora_B.weight", (rows, rank))]
    pool = Pool(0.01, np.float32, 2)
    path = out / "adapter_model.safetensors"
    write_file(path, entries, "F32", 4, lambda file, _, shape: pool.write(file, int(np.prod(shape))))
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "synthetic", "bias": "none",
        "r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0,
        "target_modules": [name.split(".")[1] for name in MATRICES],
    }  # fmt: skip
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args()
    write_base(args.output / "base", args.layers)
    write_adapter(args.output / "adapter", args.layers, args.rank)


if __name__ == "__main__":
    main()
