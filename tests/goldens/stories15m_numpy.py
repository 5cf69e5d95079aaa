"""Makes stories15m_numpy.json: greedy goldens of stories15M from a numpy forward.

    python stories15m_numpy.py --checkpoint stories15M.bin

The forward pass is written from the papers (Touvron et al. 2023, Llama 2; Su et
al. 2021, rotary embedding; Shazeer 2020, SwiGLU; Zhang and Sennrich 2019,
RMSNorm) and the checkpoint layout from llama2.c's description of its legacy
format. It shares no code with the engine it judges. Letters: T tokens so far,
D hidden, F ffn, H heads, Dh head dim, V vocab, L layers.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np

STEPS = 200
BOS = 1
EPS = np.float32(1e-5)
ROPE_BASE = 10000.0
MATRICES = ("embed", "wq", "wk", "wv", "wo", "w1", "w2", "w3")


def read_checkpoint(path):
    """The tensors of a llama2.c legacy checkpoint (seven int32, then f32 data)."""
    raw = path.read_bytes()
    names = ("dim", "ffn", "layers", "heads", "kv_heads", "vocab", "context")
    config = dict(zip(names, (int(v) for v in np.frombuffer(raw, "<i4", 7))))
    if config["vocab"] < 0 or config["kv_heads"] != config["heads"]:
        raise SystemExit("only tied, ungrouped checkpoints are read here")
    data = np.frombuffer(raw, "<f4", offset=28)
    L, D, F = config["layers"], config["dim"], config["ffn"]
    head_half = D // config["heads"] // 2
    at, weights = 0, {}
    for name, shape in (
        ("embed", (config["vocab"], D)),
        ("norm_attn", (L, D)), ("wq", (L, D, D)), ("wk", (L, D, D)),
        ("wv", (L, D, D)), ("wo", (L, D, D)),
        ("norm_ffn", (L, D)), ("w1", (L, F, D)), ("w2", (L, D, F)), ("w3", (L, F, D)),
        ("norm_out", (D,)),
        ("rope_cos", (config["context"], head_half)), ("rope_sin", (config["context"], head_half)),
    ):
        count = int(np.prod(shape))
        weights[name] = data[at:at + count].reshape(shape)
        at += count
    if at != data.size:
        raise SystemExit(f"{path}: {data.size - at} floats too many")
    return config, weights


def q8_0_rounded(w):
    """w after a round trip through ggml's Q8_0 (quantize_row_q8_0_ref).

    Blocks of 32 along a row: d = max|w| / 127 in f32, code = w * (1 / d) rounded
    half away from zero, d then stored as f16.
    """
    blocks = w.astype(np.float32).reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    scaled = (blocks * inverse).astype(np.float64)  # x + 0.5 must not round
    codes = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.float32)
    return (codes * d.astype(np.float16).astype(np.float32)).reshape(w.shape)


class Model:
    """One sequence, one token at a time; `kind` is the arithmetic (f32 or f64)."""

    def __init__(self, config, weights, kind=np.float32):
        self.c, self.kind = config, kind
        self.w = {name: tensor.astype(kind) for name, tensor in weights.items()}
        self.keys = [[] for _ in range(config["layers"])]    # each [T, H, Dh]
        self.values = [[] for _ in range(config["layers"])]
        half = config["dim"] // config["heads"] // 2
        self.freq = ROPE_BASE ** (-np.arange(half) / half)

    def norm(self, x, gain):
        return gain * (x / np.sqrt(np.mean(x * x) + self.kind(EPS)))

    def rope(self, x, position):
        """Rotate neighbouring pairs (2i, 2i + 1) of each head [H, Dh]."""
        angle = position * self.freq
        cos, sin = np.cos(angle).astype(self.kind), np.sin(angle).astype(self.kind)
        even, odd = x[:, 0::2], x[:, 1::2]
        out = np.empty_like(x)
        out[:, 0::2] = even * cos - odd * sin
        out[:, 1::2] = even * sin + odd * cos
        return out

    def step(self, token, position):
        """Logits [V] after one more token."""
        w, heads = self.w, self.c["heads"]
        x = w["embed"][token]
        for layer in range(self.c["layers"]):
            h = self.norm(x, w["norm_attn"][layer])
            q = self.rope((w["wq"][layer] @ h).reshape(heads, -1), position)
            k = self.rope((w["wk"][layer] @ h).reshape(heads, -1), position)
            self.keys[layer].append(k)
            self.values[layer].append((w["wv"][layer] @ h).reshape(heads, -1))
            keys, values = np.stack(self.keys[layer]), np.stack(self.values[layer])
            scores = np.einsum("hd,thd->ht", q, keys) / self.kind(np.sqrt(q.shape[1]))
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            mixed = np.einsum("ht,thd->hd", scores, values).reshape(-1)
            x = x + w["wo"][layer] @ mixed
            h = self.norm(x, w["norm_ffn"][layer])
            gate, up = w["w1"][layer] @ h, w["w3"][layer] @ h
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * up)
        return w["embed"] @ self.norm(x, w["norm_out"])


def greedy(config, weights, kind=np.float32):
    """(ids, gaps, logits after BOS) of STEPS greedy steps from BOS."""
    model, token = Model(config, weights, kind), BOS
    ids, gaps, first = [], [], None
    for position in range(STEPS):
        logits = model.step(token, position)
        assert logits.dtype == kind
        first = logits if first is None else first
        two = np.partition(logits, -2)[-2:]
        gaps.append(round(float(two[1] - two[0]), 5))
        token = int(np.argmax(logits))
        ids.append(token)
    return ids, gaps, first


def agree(a, b):
    """How many leading ids two runs share."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "stories15m_numpy.json")
    args = parser.parse_args()
    config, weights = read_checkpoint(args.checkpoint)
    rounded = {name: q8_0_rounded(w) if name in MATRICES else w for name, w in weights.items()}

    runs = {}
    for name, chosen in (("f32", weights), ("q8_0", rounded)):
        ids, gaps, first = greedy(config, chosen)
        exact, _, _ = greedy(config, chosen, np.float64)
        order = np.argsort(-first, kind="stable")[:10]
        runs[name] = {
            "ids": ids,
            "gaps": gaps,
            "top_logits": [[int(i), round(float(first[i]), 5)] for i in order],
            "f64_arithmetic_agrees": agree(ids, exact),
        }
        print(f"{name}: f64 agrees {agree(ids, exact)}, smallest gap {min(gaps)} at "
              f"{int(np.argmin(gaps))}, gaps under 0.01: {sum(g < 0.01 for g in gaps)}")
    same = agree(runs["f32"]["ids"], runs["q8_0"]["ids"])
    print(f"f32 and q8_0 agree {same}")

    document = {
        "made_by": "tests/goldens/stories15m_numpy.py",
        "implementation": "numpy forward written from the papers, f32 arithmetic, greedy, "
                          f"{STEPS} ids after BOS ({BOS}), no stop token",
        "checkpoint": {"file": args.checkpoint.name,
                       "sha256": hashlib.sha256(args.checkpoint.read_bytes()).hexdigest(), **config},
        "fields": {
            "f32": "the checkpoint's own weights",
            "q8_0": "every matrix (embedding = output too) through ggml's Q8_0 rounding; "
                    "activations stay f32",
            "gaps": "top-1 minus top-2 logit of the step that chose the id",
            "top_logits": "[id, logit] after BOS, largest first",
            "f64_arithmetic_agrees": "leading ids the same forward in f64 shares",
            "f32_vs_q8_0_agree": "leading ids both runs share",
        },
        "f32_vs_q8_0_agree": same,
        "runs": runs,
    }
    from make_smollm2 import compact

    args.out.write_text(compact(json.dumps(document, indent=1)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
