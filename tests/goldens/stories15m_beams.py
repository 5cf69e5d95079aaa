"""Beam search of Hugging Face transformers over stories15M-q8_0.gguf, for tests/beam.rs.

transformers reads the GGUF file itself and computes in f32. As the model hardly ever writes its end token,
half of the runs take the full stop for one: hypotheses end at all lengths then.

    pip install torch==2.15.0 transformers==5.24.0 gguf accelerate
    python tests/goldens/stories15m_beams.py
"""

import hashlib
import json
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "fixtures" / "stories15M-q8_0.gguf"
OUT = HERE / "stories15m_beams.json"
STOP = 29889  # "."
# BOS alone; BOS and "Lily and her cat went to the park. They"
PROMPTS = [[1], [1, 365, 2354, 322, 902, 6635, 3512, 304, 278, 14089, 29889, 2688]]
NEW_TOKENS = 40


def run(model, prompt, eos, beams, penalty):
    with torch.no_grad():
        out = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            num_beams=beams,
            num_return_sequences=beams,
            length_penalty=penalty,
            early_stopping=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=eos,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
        )
    found = []
    for ids, score in zip(out.sequences.tolist(), out.sequences_scores.tolist()):
        ids = ids[len(prompt):]
        if eos in ids:  # what follows is padding
            ids = ids[: ids.index(eos) + 1]
        found.append({"ids": ids, "score": round(score, 6)})
    return {"prompt_ids": prompt, "eos": eos, "beams": beams, "length_penalty": penalty, "found": found}


def main():
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        MODEL.parent, gguf_file=MODEL.name, dtype=torch.float32
    ).eval()
    runs = [
        run(model, prompt, eos, beams, penalty)
        for prompt in PROMPTS
        for eos in (2, STOP)
        for beams in (2, 4)
        for penalty in (0.6, 1.0, 1.4)
    ]
    golden = {
        "made_by": "tests/goldens/stories15m_beams.py",
        "implementation": f"transformers {transformers.__version__}, torch {torch.__version__}, CPU, f32",
        "model_sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(),
        "max_new_tokens": NEW_TOKENS,
        "fields": {
            "found": "all beams returned, the best first: ids with a closing end token, and score = "
            "summed log-probability / length^length_penalty"
        },
    }
    lines = ",\n  ".join(json.dumps(each) for each in runs)
    head = json.dumps(golden, indent=1)[:-2]
    OUT.write_text(f'{head},\n "runs": [\n  {lines}\n ]\n}}\n')
    lengths = sorted({len(found["ids"]) for each in runs for found in each["found"]})
    print(f"{len(runs)} runs, lengths {lengths}")


main()
