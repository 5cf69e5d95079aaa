"""Compares radllama with llama.cpp, token for token, on OpenI validation findings.

    python compare_llama_cpp.py target/release/radllama --model M.gguf \
        --archive NLMCXR_reports.tgz --split openi-split.json --f32 --work DIR
    python compare_llama_cpp.py target/release/radllama --model M.gguf \
        --archive NLMCXR_reports.tgz --tokenizer

Only uids, counts, ids' positions and logit gaps are printed; the reports' text
goes to radllama as ids or through a pipe and is written nowhere.

A divergence is judged by llama.cpp's top-2 logit gap at the step where it
happens. Under --q4 llama.cpp runs the file as it is and rounds activations to 8
bits: 0.3 is allowed. Under --f32 it runs the exactly dequantized file: 0.01.
With both, a q4 divergence of 0.3 or more is looked at again in f32 on the very
same prefix: it is llama.cpp's own rounding (and no failure) if f32 picks
radllama's token there or is itself in a near tie.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from llama_oracle import LlamaCpp, dequantize_gguf
from openi import read_findings, validation_findings

SYSTEM = "You are a radiology assistant. Write the impression of the report in one or two sentences."
LIMIT = {"q4": 0.3, "f32": 0.01}
BATCH = 40


def call(command, stdin=None):
    """stdout of a command that must succeed; its stderr is shown when it does not."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    if done.returncode:
        # Not the command line: it may hold a report's ids.
        sys.exit(f"{command[0]} {command[1]} exits {done.returncode}: "
                 f"{done.stderr.decode('utf-8', 'replace')[-500:]}")
    return done.stdout.decode("utf-8")


def radllama_generate(args, prompt):
    command = [
        args.radllama, "generate", "--model", args.model,
        "--prompt-ids", ",".join(map(str, prompt)), "--no-bos",
        "--max-new-tokens", str(args.tokens), "--temperature", "0",
        "--top-logits", "10", "--json",
    ]
    if args.backend:
        command += ["--backend", args.backend]
    result = json.loads(call(command))
    if result["prompt_ids"] != prompt:
        sys.exit("radllama ran another prompt than it was given")
    return result


def without_end(ids, eos):
    """ids up to an end token, and whether one was there."""
    for i, token in enumerate(ids):
        if token in eos:
            return ids[:i], True
    return ids, False


def divergence(ours, theirs, stop, eos):
    """Step of the first difference, or None. An end token counts as a step.

    radllama may leave the end token out of its ids: `stop` then says it was
    chosen.
    """
    ours, ended = without_end(ours, eos)
    theirs, their_end = without_end(theirs, eos)
    ours = ours + [None] if ended or stop == "eos" else ours
    theirs = theirs + [None] if their_end else theirs
    for step, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return step
    return None if len(ours) == len(theirs) else min(len(ours), len(theirs))


class Side:
    """One llama.cpp run (`q4` or `f32`) and what it found over the reports."""

    def __init__(self, name, path, threads):
        self.name, self.llama = name, LlamaCpp(path, threads=threads)
        self.eos = self.llama.eos_ids()
        self.identical, self.gaps, self.excused, self.failed = 0, [], [], []
        self.logit_error, self.not_in_top = 0.0, 0

    def judge(self, uid, prompt, result, tokens, other):
        ids, gaps, first = self.llama.greedy(prompt, tokens, self.eos)
        top = result.get("top_logits") or []
        error = max((abs(value - float(first[i])) for i, value in top), default=float("nan"))
        self.logit_error = max(self.logit_error, error)
        step = divergence(result["ids"], ids, result["stop"], self.eos)
        line = f"{self.name}: "
        if step is None:
            self.identical += 1
            return f"{line}identical ({len(ids)})  logit error {error:.5f}"
        if step >= len(gaps):
            self.failed.append((uid, step, float("nan")))
            return f"{line}runs {step} and more ids where llama.cpp ends: FAIL"
        gap = gaps[step]
        self.gaps.append(gap)
        line += f"agree {step}, then gap {gap:.5f}  logit error {error:.5f}"
        if gap >= LIMIT[self.name]:
            prefix, ours = prompt + ids[:step], result["ids"][step:step + 1]
            if other is not None and other.explains(prefix, ours):
                self.excused.append((uid, step, gap))
                return line + "  (f32 agrees with radllama or is in a near tie)"
            self.failed.append((uid, step, gap))
            return line + "  FAIL"
        return line

    def explains(self, prefix, ours):
        """Whether this side, on this prefix, picks our token or nearly does."""
        ids, gaps, _ = self.llama.greedy(prefix, 1)
        same = ids == ours or (not ours and ids[0] in self.eos)
        return same or gaps[0] < LIMIT[self.name]

    def summary(self, reports):
        bounds = [0.001, 0.01, 0.05, 0.1, 0.3, float("inf")]
        counts = [sum(low <= g < high for g in self.gaps) for low, high in zip([0] + bounds, bounds)]
        table = "  ".join(f"<{b:g}: {c}" for b, c in zip(bounds, counts))
        print(f"{self.name}: {self.identical} of {reports} identical to the end; "
              f"{len(self.gaps)} diverge, by gap {table}; "
              f"largest gap {max(self.gaps, default=0):.5f}; "
              f"largest error of the top 10 prompt logits {self.logit_error:.5f}")
        for uid, step, gap in self.excused:
            print(f"{self.name}: uid {uid} step {step} gap {gap:.5f}: llama.cpp's own rounding")
        for uid, step, gap in self.failed:
            print(f"{self.name}: uid {uid} step {step} gap {gap:.5f} is over {LIMIT[self.name]}")


def compare_generation(args):
    reports = validation_findings(args.archive, args.split)[:args.reports]
    if not reports:
        sys.exit("no report to compare")
    sides = {}
    if args.f32:
        path = args.work / "smollm2-f32.gguf"
        if not path.exists():
            dequantize_gguf(args.model, path.with_suffix(".partial"))
            path.with_suffix(".partial").rename(path)
        sides["f32"] = Side("f32", path, args.threads)
    if args.q4:
        sides["q4"] = Side("q4", args.model, args.threads)
    speakers = list(sides.values())
    for uid, findings in reports:
        prompt = speakers[0].llama.prompt_ids(SYSTEM, f"Findings: {findings}")
        result = radllama_generate(args, prompt)
        lines = [
            side.judge(uid, prompt, result, args.tokens,
                       sides.get("f32") if side.name == "q4" else None)
            for side in speakers
        ]
        print(f"uid {uid}  {len(prompt)} prompt ids  " + "  |  ".join(lines), flush=True)
    for side in speakers:
        side.summary(len(reports))
    return any(side.failed for side in speakers)


def compare_tokenizer(args):
    """Ids of every findings text, and the text back from the ids."""
    llama = LlamaCpp(args.model, vocab_only=True, n_ctx=8)
    items = sorted(read_findings(args.archive).items())
    texts = [text for _, text in items]
    tokenize = [args.radllama, "tokenize", "--model", args.model]
    out = call(tokenize + ["--file", "/dev/stdin", "--lines", "--json"], "\n".join(texts).encode())
    ours = [json.loads(line)["ids"] for line in out.splitlines() if line.strip()]
    if len(ours) != len(texts):
        sys.exit(f"{len(texts)} lines in, {len(ours)} objects out")
    theirs = [llama.tokenize(text, False) for text in texts]
    wrong = [(uid, a, b) for (uid, _), a, b in zip(items, ours, theirs) if a != b]
    for uid, a, b in wrong[:10]:
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        print(f"uid {uid}: {len(a)} ids, llama.cpp {len(b)}, first difference at {at}: "
              f"{a[at:at + 3]} against {b[at:at + 3]}")

    # Many texts a process: concatenated ids give concatenated text, where a
    # SentencePiece vocabulary puts a space before every text but the first.
    spm = llama.llm.metadata.get("tokenizer.ggml.model") == "llama"
    lost = 0
    for at in range(0, len(texts), BATCH):
        ids = [i for one in ours[at:at + BATCH] for i in one]
        decoded = call(tokenize + ["--decode", ",".join(map(str, ids)), "--json"])
        if json.loads(decoded)["text"] != (" " if spm else "").join(texts[at:at + BATCH]):
            lost += 1
            print(f"uids {items[at][0]} to {items[min(at + BATCH, len(items)) - 1][0]}: "
                  "text not the same after decoding")
    print(f"{len(texts)} texts, {sum(map(len, theirs))} ids: {len(wrong)} texts differ from "
          f"llama.cpp, {lost} of {-(-len(texts) // BATCH)} batches do not round-trip")
    return bool(wrong or lost)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("radllama", help="the radllama binary")
    parser.add_argument("--model", required=True, help="GGUF that both read")
    parser.add_argument("--archive", required=True, help="NLMCXR reports, .tgz")
    parser.add_argument("--split", help="openi-split.json (for generation)")
    parser.add_argument("--tokenizer", action="store_true",
                        help="compare ids and decoding of every findings text instead")
    parser.add_argument("--q4", action="store_true", help="against the file as it is")
    parser.add_argument("--f32", action="store_true", help="against the file dequantized to F32")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target"),
                        help="folder for the F32 GGUF")
    parser.add_argument("--reports", type=int, default=292)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--backend", choices=["gpu", "cpu"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.tokenizer:
        sys.exit(1 if compare_tokenizer(args) else 0)
    if not args.split:
        parser.error("--split is needed")
    if not (args.q4 or args.f32):
        parser.error("choose --q4, --f32 or both")
    sys.exit(1 if compare_generation(args) else 0)


if __name__ == "__main__":
    main()
