"""Records what PEFT's Arrow makes of three LoRA adapters, and of one more as general knowledge, in data/python/arrow: the adapters, and logits on
the models plain and gpt2. PEFT finds first singular vectors by 15 steps of power iteration; here they go on until they are exact.

Usage: python make_arrow.py
"""

import torch
from peft import ArrowConfig, LoraConfig, create_arrow_model, get_peft_model
from peft.tuners.lora.arrow import ArrowLoraLinearLayer

from common import OUT, draw_batch, save_tensors
from models import VOCABULARY, load_model
from peft_methods import save_adapter, shake_all, trainable

TARGETS = {"plain": ["q_proj", "v_proj"], "gpt2": ["c_attn"]}
FOLDER = OUT / "arrow"
ArrowLoraLinearLayer.top_right_singular_vec_from_BA.__defaults__ = (3000, 1e-12)


def main() -> None:
    ids, _ = draw_batch(VOCABULARY)
    for base in ("plain", "gpt2"):
        folders = []
        for i in range(4):
            torch.manual_seed(20 + i)
            config = LoraConfig(r=3, lora_alpha=4 + i, task_type="CAUSAL_LM", target_modules=TARGETS[base], fan_in_fan_out=base == "gpt2")
            model = get_peft_model(load_model(base), config)
            shake_all(trainable(model))
            folders.append(FOLDER / f"{base}-{i}")
            save_adapter(model, base, folders[-1])
        tensors = {"ids": ids.int()}
        for name, general in {"arrow": [], "general": folders[3:]}.items():
            config = ArrowConfig(top_k=2, router_temperature=0.5, use_gks=bool(general), rng_seed=1)
            paths = [str(folder) for folder in folders]
            model = create_arrow_model(load_model(base), paths[:3], config, [str(folder) for folder in general])
            with torch.no_grad():
                tensors[name] = model.eval()(ids).logits
        save_tensors(FOLDER / f"{base}.safetensors", tensors)


if __name__ == "__main__":
    main()
