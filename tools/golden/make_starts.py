"""Records what PEFT's LoRA computes that begins with a part of the base's weights, in data/python/starts: losses of three steps of AdamW, and
the logits after them.

Usage: python make_starts.py
"""

import torch
from peft import LoraConfig, get_peft_model

from common import OUT, draw_batch, save_tensors, shift, train
from models import VOCABULARY, load_model

# OLoRA of PEFT takes weights as they are stored, so GPT-2's would be another matrix's.
STARTS = {"plain": ("pissa", "olora"), "gpt2": ("pissa",)}
TARGETS = {"plain": ["q_proj", "o_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"]}


def main() -> None:
    ids, targets = draw_batch(VOCABULARY)
    for base, starts in STARTS.items():
        tensors = {"ids": ids.int(), "labels": shift(targets)}
        for start in starts:
            config = LoraConfig(
                r=3, lora_alpha=5, target_modules=TARGETS[base], init_lora_weights=start, fan_in_fan_out=base == "gpt2",
            )
            model = get_peft_model(load_model(base), config)
            params = {n: p for n, p in model.named_parameters() if p.requires_grad}
            tensors[f"{start} losses"] = train(model, params, ids, targets)["losses"]
            with torch.no_grad():
                tensors[f"{start} logits"] = model(ids).logits
        save_tensors(OUT / "starts" / f"{base}.safetensors", tensors)


if __name__ == "__main__":
    main()
