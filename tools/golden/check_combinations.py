"""Loads the combinations of data/peftjs/combinations with PEFT, those in several folders as a mixed model by the lines of their card,
and records what it computes with them: logits in record.safetensors, versions and hashes in record.json.

Usage: python check_combinations.py
"""

import re
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file

from check_families import record_adapter
from common import DATA
from families import load_model


def load(base: torch.nn.Module, folder: Path) -> torch.nn.Module:
    if not (folder / "adapter_parts.json").exists():
        return PeftModel.from_pretrained(base, folder)
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
    names = {"base": base, "folder": folder}
    exec(code, names)  # noqa: S102
    return names["model"]


def require_all_tensors(model: torch.nn.Module, folder: Path) -> None:
    """Every value of the files is somewhere in the model."""
    there = [p.detach() for p in model.parameters()]
    for file in sorted(folder.rglob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if not any(p.shape == tensor.shape and torch.equal(p, tensor) for p in there):
                raise SystemExit(f"{file}: {name} was not taken")


def main() -> None:
    checked = 0
    for adapter in sorted((DATA / "peftjs" / "combinations").glob("*/adapter")):
        name = adapter.parent.name.rpartition("-")[0]
        model = load(load_model(name), adapter).eval()
        require_all_tensors(model, adapter)
        record_adapter(adapter, name, model)
        checked += 1
    print(f"{checked} combinations loaded and recorded")


if __name__ == "__main__":
    main()
