"""Makes tiny Llamas, LoRA adapters on them, and what transformers and PEFT compute with both, in data/python; and tokens
of the base model's tokenizer.

Usage: python make.py
"""

import json
import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from versions import versions

DATA = Path(__file__).parent / "data"
OUT = DATA / "python"
TOKENIZER = Path(__file__).parents[2] / "packages" / "base-model" / "model" / "tokenizer.json"

# Grouped heads, and a head size that is not hidden / heads; weights large enough for every part to matter.
SIZES = dict(
    vocab_size=29, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=6, max_position_embeddings=64, rms_norm_eps=1e-3, initializer_range=0.3,
    bos_token_id=1, eos_token_id=None,
)

# With these numbers one of the three rotated pairs falls into each of Llama 3's three ranges of wavelength.
LLAMA3_ROPE = dict(
    rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)

MODELS = {
    "plain": dict(rope_parameters=dict(rope_type="default", rope_theta=100.0)),
    "llama3-tied": dict(rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True),
}

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

PATTERNS = dict(
    r=4, lora_alpha=12, use_rslora=True, target_modules=LINEARS,
    rank_pattern={"layers.1.self_attn.q_proj": 2, "down_proj": 3},
    alpha_pattern={"layers.1.self_attn.q_proj": 5, r"model\.layers\.\d+\.mlp\.(up|gate)_proj": 20},
)

CASES = {
    "plain-default": ("plain", dict(r=4)),
    "plain-patterns": ("plain", PATTERNS),
    "llama3-tied-regex": ("llama3-tied", dict(r=3, lora_alpha=6, target_modules=r".*\.(q_proj|up_proj)")),
}


def shake(parameter: torch.Tensor, std: float) -> None:
    """Norms that are all ones, or matrices B that are all zeros, would hide mistakes."""
    parameter.data += std * torch.randn_like(parameter)


def make_model(name: str) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **MODELS[name]))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            shake(parameter, 0.3)
    model.save_pretrained(OUT / "models" / name)


def save_adapter(model: PeftModel, base: str, folder: Path) -> None:
    config = model.peft_config["default"]
    config.base_model_name_or_path = base
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)  # a set has another order in every process
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()


def make_case(name: str, base: str, options: dict) -> None:
    torch.manual_seed(1)
    llama = LlamaForCausalLM.from_pretrained(OUT / "models" / base, dtype=torch.float32)
    model = get_peft_model(llama, LoraConfig(task_type="CAUSAL_LM", **options))
    params = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    for parameter in params.values():
        shake(parameter, 0.2)
    save_adapter(model, base, OUT / name / "adapter")

    ids = torch.randint(SIZES["vocab_size"], (2, 40))
    targets = ids.clone()
    targets[0, :5] = targets[1, 33:] = -100
    golden = {
        "ids": ids.int(),
        "labels": F.pad(targets[:, 1:], (0, 1), value=-100).int(),  # transformers shifts `targets` itself
        "logits": model(ids).logits,
        "greedy": model.generate(ids[:1, :8], max_new_tokens=20, do_sample=False)[0, 8:].int(),
    }
    optimizer = torch.optim.AdamW(params.values(), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        loss = model(ids, labels=targets).loss
        loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss)
    golden |= {f"trained {n}": p for n, p in params.items()}
    golden["losses"] = torch.stack(losses)
    save_file({n: t.detach().contiguous() for n, t in golden.items()}, OUT / name / "golden.safetensors")


def make_tokens() -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    prose = (DATA / "held-out.txt").read_text(encoding="utf-8")
    odd = " \t\n\nTrès étrange:  naïve—12345 £6.50, 🐳🏴‍☠️ 鯨\r\n <|x|> "
    golden = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in (prose, odd)]
    for entry in golden:
        entry["decoded"] = tokenizer.decode(entry["ids"])
    write_json(OUT / "tokens.json", golden)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value) + "\n")


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    for name in MODELS:
        make_model(name)
    for name, (base, options) in CASES.items():
        make_case(name, base, options)
    make_tokens()
    write_json(OUT / "versions.json", versions())


if __name__ == "__main__":
    main()
