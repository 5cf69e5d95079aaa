"""Makes smollm2_llama_cpp.json: greedy goldens of SmolLM2-135M-Instruct from llama.cpp.

    python make_smollm2.py --model SmolLM2-135M-Instruct.Q4_1.gguf --work DIR

Two runs of each prompt: `q4` on the file as it is (llama.cpp's CPU path rounds
the activations to 8 bits before every quantized matmul) and `f32` on the file
exactly dequantized to F32, where no activation is rounded: the second is the
one an engine that computes in f32 must follow to a near tie.
The prompts were written for this test; no report text is in them.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib

from llama_oracle import LlamaCpp, chatml, dequantize_gguf, top_logits

SYSTEM = "You are a radiology assistant. Write the impression of the report in one or two sentences."

FINDINGS = [
    ("normal", "Heart size is normal. Lungs are clear. No pleural effusion or pneumothorax."),
    ("effusion", "The heart is mildly enlarged. There is a moderate left pleural effusion with "
     "adjacent basilar atelectasis. The right lung is clear. No pneumothorax is seen. "
     "Degenerative changes are present in the thoracic spine."),
    ("nodule", "A 12 mm spiculated nodule projects over the right upper lobe, not present on the "
     "earlier study. No hilar enlargement. Cardiomediastinal contours are within normal limits. "
     "There is no effusion."),
    ("tubes", "The endotracheal tube tip lies 4.5 cm above the carina. A right internal jugular "
     "line ends at the cavoatrial junction. Bilateral perihilar opacities have worsened since "
     "yesterday, with small effusions on both sides. A feeding tube passes below the diaphragm "
     "and out of view. Old healed fractures of the "
     "right fourth and fifth ribs are again seen; no acute bony finding."),
    ("fracture", "Minimally displaced fractures of the left seventh and eighth ribs laterally; a "
     "tiny apical pneumothorax, under 5 %, on the same side. No mediastinal shift. Mild "
     "subcutaneous emphysema (left chest wall)."),
]
STEPS = 48


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(llama, prompt):
    ids, gaps, first = llama.greedy(prompt, STEPS)
    return {
        "ids": ids,
        "gaps": [round(gap, 5) for gap in gaps],
        "top_logits": top_logits(first, 10),
        "text": llama.text(ids),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True,
                        help="folder for the 540 MB F32 GGUF (reused if there)")
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "smollm2_llama_cpp.json")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    f32_path = args.work / "smollm2-f32.gguf"
    if not f32_path.exists():
        partial = f32_path.with_suffix(".partial")
        dequantize_gguf(args.model, partial)
        partial.rename(f32_path)

    q4 = LlamaCpp(args.model, threads=args.threads)
    prompts = []
    for name, findings in FINDINGS:
        text = chatml(SYSTEM, f"Findings: {findings}")
        ids = q4.prompt_ids(SYSTEM, f"Findings: {findings}")
        assert ids == q4.tokenize(text, True), name
        prompts.append({"name": name, "text": text, "prompt_ids": ids})
    for prompt in prompts:
        prompt["q4"] = run(q4, prompt["prompt_ids"])
    del q4
    f32 = LlamaCpp(f32_path, threads=args.threads)
    for prompt in prompts:
        prompt["f32"] = run(f32, prompt["prompt_ids"])

    for prompt in prompts:
        pair = list(zip(prompt["q4"]["ids"], prompt["f32"]["ids"]))
        same = next((i for i, (a, b) in enumerate(pair) if a != b), len(pair))
        # For the reader: where 8-bit activations alone change the text.
        prompt["q4_vs_f32_agree"] = same
        gaps = "" if same == STEPS else (
            f", gap there q4 {prompt['q4']['gaps'][same]} f32 {prompt['f32']['gaps'][same]}")
        print(f"{prompt['name']}: {len(prompt['prompt_ids'])} prompt ids, agree {same}{gaps}, "
              f"smallest f32 gap {min(prompt['f32']['gaps'])}")

    document = {
        "made_by": "tests/goldens/make_smollm2.py",
        "implementation": "llama.cpp through llama-cpp-python "
                          + importlib.metadata.version("llama-cpp-python"),
        "settings": "CPU, flash attention off, K and V cache f32, n_batch 512, no BOS, greedy, "
                    "stop tokens ignored (48 ids always)",
        "model": {"file": args.model.name, "sha256": sha256(args.model)},
        "f32_model": "the same file, every tensor dequantized exactly to F32 "
                     "(llama_oracle.dequantize_gguf)",
        "fields": {
            "gaps": "top-1 minus top-2 logit of the step that chose the id",
            "top_logits": "[id, logit] after the last prompt id, largest first",
            "q4_vs_f32_agree": "leading ids that q4 and f32 share",
        },
        "prompts": prompts,
    }
    # One value a line would be thousands of lines: number lists stay on one.
    text = json.dumps(document, indent=1, ensure_ascii=False)
    args.out.write_text(compact(text) + "\n", encoding="utf-8")


def compact(text):
    """Indented JSON with each innermost list on one line."""
    import re

    def join(match):
        return re.sub(r"\s+", " ", match.group(0)).replace("[ ", "[").replace(" ]", "]")

    return re.sub(r"\[[^\[\]{}\"]*\]", join, text)


if __name__ == "__main__":
    main()
