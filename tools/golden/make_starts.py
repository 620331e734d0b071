"""Records what PEFT's LoRA computes that begins with a part of the base's weights, in data/python/starts: losses of three steps of AdamW, and
the logits after them; of ways that look at data also A and B as they begin, by the name in the file.

Usage: python make_starts.py
"""

import torch
from peft import LoraConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora.config import CordaConfig, EvaConfig, LoraGAConfig
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga

from common import OUT, draw_batch, save_tensors, shift, train
from models import VOCABULARY, load_model

# OLoRA of PEFT takes weights as they are stored, so GPT-2's would be another matrix's.
STARTS = {"plain": ("pissa", "olora"), "gpt2": ("pissa",)}
TARGETS = {"plain": ["q_proj", "o_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"]}


def look(llm: torch.nn.Module, config: LoraConfig, ids: torch.Tensor, targets: torch.Tensor) -> None:
    """Lets PEFT look at the batch; each row of it is an example."""
    if config.corda_config is not None:
        preprocess_corda(llm, config, run_model=lambda: [llm(row[None]) for row in ids])
    if config.lora_ga_config is not None:
        preprocess_loraga(llm, config, train_step=lambda: llm(input_ids=ids, labels=targets).loss.backward())


def with_data(base: str) -> dict[str, LoraConfig]:
    options = dict(lora_alpha=5, target_modules=TARGETS[base], fan_in_fan_out=base == "gpt2")
    cases = {
        f"corda {mode}": LoraConfig(r=3, init_lora_weights="corda", corda_config=CordaConfig(corda_method=mode), **options)
        for mode in ("ipm", "kpm")
    }
    # At four times the rank PEFT's randomised decomposition is exact: the matrices have no more.
    for direction, scale in (("ArB2r", "stable"), ("A2rBr", "weight_svd"), ("ArBr", "gd_scale")):
        ga = LoraGAConfig(direction=direction, scale=scale, stable_gamma=9)
        cases[f"lora_ga {direction} {scale}"] = LoraConfig(r=4, init_lora_weights="lora_ga", lora_ga_config=ga, **options)
    cases |= {
        f"eva {name}": LoraConfig(r=3, init_lora_weights="eva", eva_config=EvaConfig(**eva), **options)
        for name, eva in (("default", {}), ("whitened", dict(rho=1.5, whiten=True, adjust_scaling_factors=False)))
    }
    return cases


def record(base: str, start: str, config: LoraConfig) -> dict[str, torch.Tensor]:
    ids, targets = draw_batch(VOCABULARY)
    torch.manual_seed(0)
    llm = load_model(base)
    look(llm, config, ids, targets)
    model = get_peft_model(llm, config)
    if config.eva_config is not None:
        batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
        initialize_lora_eva_weights(model, [batch], show_progress_bar=False)
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    tensors = {}
    if " " in start:
        tensors = {f"{start} {n.replace('.default', '')}": p.detach().clone() for n, p in params.items()}
    tensors[f"{start} losses"] = train(model, params, ids, targets)["losses"]
    with torch.no_grad():
        tensors[f"{start} logits"] = model(ids).logits
    return tensors


def main() -> None:
    ids, targets = draw_batch(VOCABULARY)
    for base, starts in STARTS.items():
        tensors = {"ids": ids.int(), "labels": shift(targets)}
        configs = {
            start: LoraConfig(
                r=3, lora_alpha=5, target_modules=TARGETS[base], init_lora_weights=start, fan_in_fan_out=base == "gpt2",
            )
            for start in starts
        }
        for start, config in (configs | (with_data(base) if base == "plain" else {})).items():
            tensors |= record(base, start, config)
        save_tensors(OUT / "starts" / f"{base}.safetensors", tensors)


if __name__ == "__main__":
    main()
