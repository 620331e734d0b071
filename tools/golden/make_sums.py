"""Records what PEFT computes with adapters that are made of several LoRA adapters, in data/python/sums: the adapters, and the logits of each
way to combine them on the models plain and gpt2. Also, on plain, the first with less of its intruder dimensions, and the condition number of
each layer (PEFT has both for `Linear` alone).

Usage: python make_sums.py
"""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import KappaTuneSelector, find_kappa_target_modules
from peft.tuners.lora.intruders import reduce_intruder_dimension

from common import OUT, draw_batch, save_tensors
from models import VOCABULARY, load_model
from peft_methods import save_adapter, shake_all, trainable

FOLDER = OUT / "sums"
TARGETS = {"plain": ("q_proj", "v_proj", "o_proj", "embed_tokens"), "gpt2": ("c_attn", "c_fc", "c_proj", "wte")}

# The third has other ranks, so that only ways by products can take it.
def configs(base: str) -> list[LoraConfig]:
    a, b, c, table = TARGETS[base]
    common = dict(fan_in_fan_out=base == "gpt2", task_type="CAUSAL_LM")
    return [
        LoraConfig(r=4, lora_alpha=6, target_modules=[a, b], **common),
        LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=[a, c, table], **common),
        LoraConfig(r=6, lora_alpha=9, target_modules=[a, table], rank_pattern={f"0.*{a}": 3}, alpha_pattern={f"1.*{a}": 2}, **common),
    ]


# Without pruning DARE draws nothing.
WAYS = {
    "cat": dict(adapters=3),
    "svd": dict(adapters=3, svd_rank=5),
    "linear": dict(adapters=2),
    "ties": dict(adapters=2, density=0.5),
    "ties-frequency": dict(adapters=2, density=0.7, majority_sign_method="frequency"),
    "ties_svd": dict(adapters=3, density=0.5, svd_rank=5),
    "magnitude_prune": dict(adapters=2, density=0.3),
    "magnitude_prune_svd": dict(adapters=3, density=0.3, svd_rank=11),
    "dare_linear": dict(adapters=2, density=1.0),
    "dare_linear_svd": dict(adapters=3, density=1.0, svd_rank=4),
    "dare_ties": dict(adapters=2, density=1.0),
    "dare_ties_svd": dict(adapters=3, density=1.0, svd_rank=7),
}
WEIGHTS = [0.7, -0.4, 1.3]


def main() -> None:
    ids, _ = draw_batch(VOCABULARY)
    for base in TARGETS:
        folders = []
        for i, config in enumerate(configs(base)):
            torch.manual_seed(10 + i)
            model = get_peft_model(load_model(base), config)
            shake_all(trainable(model))
            folders.append(FOLDER / f"{base}-{i}")
            save_adapter(model, base, folders[-1])
        model = PeftModel.from_pretrained(load_model(base), folders[0], adapter_name="0")
        for i in (1, 2):
            model.load_adapter(folders[i], adapter_name=str(i))
        logits = {}
        for name, options in WAYS.items():
            count = options.pop("adapters")
            model.add_weighted_adapter(
                [str(i) for i in range(count)], WEIGHTS[:count], name, combination_type=name.partition("-")[0], **options
            )
            options["adapters"] = count
            model.set_adapter(name)
            with torch.no_grad():
                logits[name] = model.eval()(ids).logits
        save_tensors(FOLDER / f"{base}.safetensors", {"ids": ids.int()} | logits)
    record_reduced(ids)


def record_reduced(ids: torch.Tensor) -> None:
    found = []
    model = PeftModel.from_pretrained(load_model("plain"), FOLDER / "plain-0")
    reduce_intruder_dimension(model, top_k=4, threshold_epsilon=0.6, mitigation_lambda=0.25, logging_sink=found.append)
    assert any("Intruders:" in line for line in found) and any("No intruders" in line for line in found), found
    with torch.no_grad():
        tensors = {"ids": ids.int(), "logits": model.eval()(ids).logits}
    base = load_model("plain")
    selector = KappaTuneSelector(base, show_progress=False)
    chosen = find_kappa_target_modules(base, top_p=0.3, show_progress=False)["target_modules"]
    selector.get_best_targets()
    kappas = {f"kappa {name}": torch.tensor([kappa]) for name, kappa in selector._condition_numbers.items()}
    chosen = {f"chosen {i} {name}": torch.ones(1) for i, name in enumerate(chosen)}
    save_tensors(FOLDER / "plain-reduced.safetensors", tensors | kappas | chosen)


if __name__ == "__main__":
    main()
