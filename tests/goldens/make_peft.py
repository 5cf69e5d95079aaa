"""A tiny Hugging Face Llama, adapters that PEFT wrote for it, and their merge by numpy: tests/goldens/peft/.

    python tests/goldens/make_peft.py

Deterministic for the versions in README.md; random weights, nothing is downloaded.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent / "peft"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PATTERNS = dict(
    r=3,
    lora_alpha=5,
    use_rslora=True,
    target_modules=r"model\.layers\.\d+\.(self_attn\.[qkv]_proj|mlp\.down_proj)",
    rank_pattern={"down_proj": 2, "layers.1.self_attn.k_proj": 4},
    alpha_pattern={"^model.layers.0.self_attn.q_proj": 7},
)
ADAPTERS = {
    "plain": (torch.float32, dict(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=ALL)),
    "patterns": (torch.float32, PATTERNS),
    "half": (torch.bfloat16, dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"], layers_to_transform=[1])),
}


def base():
    torch.manual_seed(3)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=272, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
        initializer_range=0.1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model.to(torch.float16)


def tidy(path):
    """Without what depends on the machine."""
    config = json.loads((path / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "tiny"
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    (path / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (path / "README.md").unlink(missing_ok=True)


def merge(weights, path):
    """W + s B A in f64, from PEFT's files alone."""
    config = json.loads((path / "adapter_config.json").read_text())
    if path.name == "half":
        tensors = {k: v.float().numpy() for k, v in torch_file(path).items()}
    else:
        tensors = load_file(path / "adapter_model.safetensors")
    merged = {}
    for name in sorted(tensors):
        if ".lora_A." not in name:
            continue
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = (tensors[name.replace("lora_A", f)].astype(np.float64) for f in ("lora_A", "lora_B"))
        alpha = config["lora_alpha"]
        for pattern, value in config["alpha_pattern"].items():
            if module.endswith(pattern.lstrip("^")):
                alpha = value
        r = a.shape[0]
        scale = alpha / (np.sqrt(r) if config["use_rslora"] else r)
        weight = weights[f"{module}.weight"].astype(np.float64)
        merged[f"{module}.weight"] = (weight + scale * (b @ a)).astype(np.float32)
    return merged


def torch_file(path):
    from safetensors.torch import load_file as load

    return load(path / "adapter_model.safetensors")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    base().save_pretrained(OUT / "base")
    (OUT / "base/generation_config.json").unlink()
    weights = load_file(OUT / "base/model.safetensors")
    for name, (dtype, options) in ADAPTERS.items():
        torch.manual_seed(len(name))
        model = get_peft_model(base().float(), LoraConfig(task_type="CAUSAL_LM", **options))
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.data = 0.1 * torch.randn_like(parameter)
        adapters = [p for n, p in model.named_parameters() if "lora_" in n]
        for parameter in adapters:
            parameter.data = parameter.data.to(dtype)
        model.save_pretrained(OUT / name)
        tidy(OUT / name)
        reference = merge(weights, OUT / name)
        ours = model.float().merge_and_unload().state_dict()
        for key, value in reference.items():  # PEFT agrees with numpy, or this file is wrong
            assert np.abs(ours[key].numpy() - value).max() < 1e-6, key
        if name == "plain":
            save_file(reference, OUT / "plain/merged.safetensors")
        else:
            some = {k: v for k, v in reference.items() if "k_proj" in k or "q_proj" in k or "layers.1.mlp" in k}
            save_file(some, OUT / name / "merged.safetensors")


if __name__ == "__main__":
    sys.exit(main())
