"""llama.cpp as an oracle: greedy runs with the numbers that say how sure each step was.

Shared by the golden maker and the comparer. Needs llama-cpp-python, gguf and
numpy. Everything is set so that the only rounding left is llama.cpp's own
matmul arithmetic: no flash attention (its CPU path works in f16) and an f32 KV
cache (the default is f16).
"""

import os

import numpy as np

GGML_TYPE_F32 = 0


def chatml(system: str, user: str) -> str:
    """The ChatML text of one system and one user turn, open for the assistant."""
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n"
        f"<|im_start|>user\n{user}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


class LlamaCpp:
    """One loaded GGUF. `path` may be the first file of a split."""

    def __init__(self, path, n_ctx=1024, threads=1, vocab_only=False):
        from llama_cpp import Llama

        _without_extra_buffers()
        self.llm = Llama(
            model_path=os.fspath(path),
            n_ctx=n_ctx,
            n_batch=512,
            n_ubatch=512,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=0,
            flash_attn=False,
            type_k=GGML_TYPE_F32,
            type_v=GGML_TYPE_F32,
            vocab_only=vocab_only,
            verbose=False,
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Ids without BOS. `special` lets control tokens in the text parse."""
        return self.llm._model.tokenize(text.encode("utf-8"), False, special)

    def prompt_ids(self, system: str, user: str) -> list[int]:
        """ChatML ids; the words of `system` and `user` never become control tokens."""
        def special(text):
            return self.tokenize(text, True)

        def plain(text):
            return self.tokenize(text, False)

        # Pieces are tokenized one by one. That equals one pass over the whole
        # text, because a control token on both sides of every piece is a
        # boundary no merge crosses and "\n" before text is a piece of its own
        # here only if no merge takes it in: so role and text stay together.
        return (
            special("<|im_start|>") + plain(f"system\n{system}") + special("<|im_end|>")
            + plain("\n") + special("<|im_start|>") + plain(f"user\n{user}")
            + special("<|im_end|>") + plain("\n") + special("<|im_start|>")
            + plain("assistant\n")
        )

    def text(self, ids: list[int]) -> str:
        """The text of ids, control tokens left out."""
        return self.llm._model.detokenize(ids, special=False).decode("utf-8", "replace")

    def eos_ids(self) -> set[int]:
        """Ids that end a generation: EOS and end of turn."""
        import llama_cpp

        vocab = self.llm._model.vocab
        n = llama_cpp.llama_vocab_n_tokens(vocab)
        return {i for i in range(n) if llama_cpp.llama_vocab_is_eog(vocab, i)}

    def reset(self):
        """Forget everything evaluated so far."""
        self.llm.reset()
        self.llm._ctx.kv_cache_clear()

    def logits(self, ids: list[int]) -> np.ndarray:
        """Append ids; the logits [V] after the last of them."""
        self.llm.eval(ids)
        pointer = self.llm._ctx.get_logits_ith(-1)
        return np.ctypeslib.as_array(pointer, shape=(self.llm.n_vocab(),)).copy()

    def greedy(self, prompt: list[int], n: int, stop: set[int] = frozenset()):
        """Greedy decoding from an empty cache.

        Returns (ids, gaps, first): `gaps[i]` is the top-1 minus the top-2 logit
        of the step that chose `ids[i]`, `first` the logits [V] after the prompt.
        An id in `stop` is kept as the last one.
        """
        self.reset()
        logits = first = self.logits(prompt)
        ids, gaps = [], []
        while True:
            two = np.argpartition(logits, -2)[-2:]
            gaps.append(float(abs(logits[two[0]] - logits[two[1]])))
            ids.append(int(np.argmax(logits)))
            if len(ids) == n or ids[-1] in stop:
                return ids, gaps, first
            logits = self.logits(ids[-1:])


def _without_extra_buffers():
    """Load weights as they lie in the file, not repacked for AMX.

    llama-cpp-python 0.3.36 crashes in a Q4_1 matmul of two and more rows where
    the build and the CPU have AMX; repacking would also change which rounding
    is measured. The high-level class has no argument for it.
    """
    from llama_cpp import llama_cpp

    if getattr(llama_cpp, "_radllama_patched", False):
        return
    default_params = llama_cpp.llama_model_default_params

    def params():
        value = default_params()
        value.use_extra_bufts = False
        return value

    llama_cpp.llama_model_default_params = params
    llama_cpp._radllama_patched = True


def top_logits(logits: np.ndarray, k: int) -> list[list]:
    """The k largest as [id, logit], largest first; equal logits by lower id."""
    order = np.argsort(-logits, kind="stable")[:k]
    return [[int(i), round(float(logits[i]), 5)] for i in order]


def dequantize_gguf(source, target):
    """Write `target`: the same GGUF with every tensor as F32.

    w = d * q + m (Q4_1) and w = d * q (Q8_0, Q4_0) with the f16 d and m widened
    to f32, so each weight is the exact f32 value of what the file means: the
    multiplication rounds once, as in ggml's own dequantize_row_*.
    """
    import gguf

    reader = gguf.GGUFReader(os.fspath(source))
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(os.fspath(target), arch)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = field.contents()
        if name == "general.file_type":
            value = 0  # all F32
        writer.add_key_value(name, value, kind, sub_type=sub)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, _to_f32(tensor, gguf))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _to_f32(tensor, gguf):
    """One tensor as f32, rows x columns."""
    kinds = gguf.GGMLQuantizationType
    shape = tuple(int(n) for n in reversed(tensor.shape))
    if tensor.tensor_type == kinds.F32:
        return np.asarray(tensor.data, dtype=np.float32).reshape(shape)
    raw = np.asarray(tensor.data, dtype=np.uint8)
    if tensor.tensor_type == kinds.Q8_0:
        blocks = raw.reshape(-1, 34)
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return (d * blocks[:, 2:].view(np.int8).astype(np.float32)).reshape(shape)
    if tensor.tensor_type == kinds.Q4_1:
        blocks = raw.reshape(-1, 20)
        d = blocks[:, 0:2].copy().view(np.float16).astype(np.float32)
        m = blocks[:, 2:4].copy().view(np.float16).astype(np.float32)
        codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
        return (d * codes.astype(np.float32) + m).reshape(shape)
    raise SystemExit(f"{tensor.name}: no dequantization for {tensor.tensor_type.name} here")
