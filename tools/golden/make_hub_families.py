"""Prefixes of the adapters library on encoder-decoders of data/python/families: records what it computes with them, or loads ours from data/peftjs/families, of which it has to take every tensor.

Usage: python make_hub_families.py make|check
"""

import json
import sys
from pathlib import Path

import adapters
import torch
import transformers
from adapters import PrefixTuningConfig
from safetensors.torch import load_file

from adapters_methods import save_adapter, trainable
from check_all import hashes
from common import DATA, OUT, save_tensors, shake, write_json
from versions import versions

ADAPTERS = {
    "t5": ("hub-prefix-tuning", PrefixTuningConfig(prefix_length=4, bottleneck_size=6)),
    "bart-even": ("hub-prefix-tuning", PrefixTuningConfig(prefix_length=3, flat=True, encoder_prefix=False)),
}
INPUTS = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")


def load_base(name: str) -> torch.nn.Module:
    folder = OUT / "families" / name / "model"
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    model = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager")
    model.config.name_or_path = name  # written into the adapter's configuration
    adapters.init(model)
    return model


def read_rows(name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    recorded = load_file(OUT / "families" / name / "golden.safetensors")
    return {key: recorded[key].long() for key in INPUTS if key in recorded}, recorded["labels"].long()


def make(name: str, adapter: str, config: PrefixTuningConfig) -> None:
    torch.manual_seed(1)
    model = load_base(name)
    inputs, labels = read_rows(name)
    with torch.no_grad():
        recorded = load_file(OUT / "families" / name / "golden.safetensors")["logits"]
        if (distance := (model(**inputs).logits - recorded).abs().max()) > 1e-4:
            raise SystemExit(f"{name} computes something else with this version of transformers: {distance} away")
    model.add_adapter("default", config=config)
    model.train_adapter("default")
    model.eval()
    params = trainable(model)
    for parameter in params.values():
        shake(parameter, 0.1 if name == "t5" else 0.2)  # its scores are not divided by sqrt(d)
    out = OUT / "families" / name / adapter
    out.mkdir(parents=True, exist_ok=True)
    save_adapter(model, out / "adapter")
    golden = {"logits": model(**inputs).logits}
    optimizer = torch.optim.AdamW(params.values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss.detach())
    save_tensors(out / "golden.safetensors", golden | {f"trained {n}": p for n, p in params.items()} | {"losses": torch.stack(losses)})


@torch.no_grad()
def check(name: str, adapter: str) -> None:
    folder: Path = DATA / "peftjs" / "families" / name / adapter
    model = load_base(name)
    own = set(model.state_dict())
    model.load_adapter(str(folder / "adapter"), with_head=False, set_active=True, use_safetensors=True)
    given = load_file(folder / "adapter" / "adapter.safetensors")
    loaded = {n: t for n, t in model.state_dict().items() if n not in own and ".pool." not in n}
    if given.keys() != loaded.keys() or any(not torch.equal(loaded[n], t) for n, t in given.items()):
        raise SystemExit(f"{folder}: the library has other tensors: {sorted(given.keys() ^ loaded.keys())}")
    save_tensors(folder / "record.safetensors", {"logits": model.eval()(**read_rows(name)[0]).logits})
    base = {"model.safetensors": hashes(OUT / "families" / name / "model")["model.safetensors"]}
    write_json(folder / "record.json", {"versions": versions("adapters"), "base": base, "adapter": hashes(folder / "adapter")}, indent=2)


if __name__ == "__main__":
    for name, (adapter, config) in ADAPTERS.items():
        make(name, adapter, config) if sys.argv[1] == "make" else check(name, adapter)
