"""X-LoRA of Hugging Face PEFT over two LoRAs on the tiny models: folders of all three, and what they give, in data/python/xlora-*.

Usage: python make_xlora.py
"""

import json
import shutil

import torch
from peft import LoraConfig, PeftModel, XLoraConfig, get_peft_model

from common import OUT, record, save_tensors, shake, write_json
from models import load_model

CASES = {
    "plain": dict(xlora_depth=1),
    "layerwise": dict(xlora_depth=3, xlora_size=5, xlora_dropout_p=1e-9, layerwise_scalings=True, softmax_temperature=0.7, global_scaling_weight=1.5),
    "top": dict(xlora_depth=2, xlora_size=6, xlora_dropout_p=0.0, top_k_lora=2, enable_softmax=False, enable_softmax_topk=True),
}
TARGETS = (["q_proj", "v_proj"], ["v_proj", "down_proj"], ["q_proj"])


def make(name: str, options: dict, seed: int = 1) -> None:
    base = "plain"
    folder = OUT / f"xlora-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    experts = {}
    for i, target in enumerate(TARGETS):
        expert = get_peft_model(load_model(base), LoraConfig(r=2 + i, lora_alpha=5, target_modules=target, use_rslora=i == 1, task_type="CAUSAL_LM"))
        for n, p in expert.named_parameters():
            if "lora_" in n:
                shake(p, 0.3)
        expert.save_pretrained(folder / f"expert{i}")
        (folder / f"expert{i}" / "README.md").unlink()
        place = folder / f"expert{i}" / "adapter_config.json"
        write_json(place, json.loads(place.read_text()) | {"base_model_name_or_path": None}, indent=2)
        experts[str(i)] = str(folder / f"expert{i}")
    model = load_model(base)
    model.config.use_cache = False
    config = XLoraConfig(task_type="CAUSAL_LM", hidden_size=model.config.hidden_size, adapters=experts, **options)
    model = get_peft_model(model, config).eval()
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for p in params.values():
        shake(p, 0.5)
    # PEFT 0.21.2 takes numbers of layers for names of experts, and leaves those tensors out of the file.
    save_tensors(folder / "adapter" / "adapter_model.safetensors", params)
    fields = json.loads(json.dumps(config.to_dict(), default=lambda v: v.value)) | {"adapters": {i: f"expert{i}" for i in experts}}
    write_json(folder / "adapter" / "adapter_config.json", fields | {"base_model_name_or_path": None}, indent=2)
    renamed = {n.replace("base_model.", "", 1): p for n, p in params.items()}
    save_tensors(folder / "golden.safetensors", record(model, renamed))


if __name__ == "__main__":
    for name, options in CASES.items():
        make(name, options)
