"""Loads the adapters of data/peftjs/families with PEFT, which has to take every tensor and to miss none, and records what it
computes with them: logits in record.safetensors, versions and hashes in record.json.

Usage: python check_families.py [NAME ...]; all without names
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file

from check_all import hashes
from common import DATA, save_tensors, write_json
from families import FAMILIES, draw_inputs, load_model, logits_of, plain_call, stored_logits
from peft_methods import choose_task, require_same_tensors
from versions import versions


@torch.no_grad()
def record_adapter(adapter: Path, name: str, model: torch.nn.Module) -> None:
    """Writes beside an adapter what a model with it computes, and what versions and files that was with."""
    inputs = draw_inputs(name)
    logits = stored_logits(name, logits_of(plain_call(name, model)(**inputs)), inputs)
    save_tensors(adapter.parent / "record.safetensors", {"logits": logits})
    record = {
        "versions": versions("peft"),
        "base": {file: digest for file, digest in hashes(FAMILIES / name / "model").items() if file == "model.safetensors"},
        "adapter": hashes(adapter),
    }
    write_json(adapter.parent / "record.json", record, indent=2)


def main(names: list[str]) -> None:
    checked = 0
    for adapter in sorted((DATA / "peftjs" / "families").glob("*/*/adapter")):
        name = adapter.parents[1].name
        if names and name not in names or not (adapter / "adapter_model.safetensors").exists():
            continue
        model = PeftModel.from_pretrained(load_model(name), adapter).eval()
        choose_task(model)
        require_same_tensors(model, load_file(adapter / "adapter_model.safetensors"))
        record_adapter(adapter, name, model)
        checked += 1
    print(f"{checked} adapters loaded and recorded")


if __name__ == "__main__":
    main(sys.argv[1:])
