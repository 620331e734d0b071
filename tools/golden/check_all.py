"""Loads adapters in the layout of either library with that library, and records what it computes with them.

Usage: python check_all.py peft|adapters [FOLDER]

For each FOLDER/<model>-<method>/adapter (FOLDER is data/peftjs unless given), on data/python/models/<model>: the library has
to take every tensor and to miss none. Ids and logits go to record.safetensors beside the adapter, versions and hashes to
record.json. Adapters in the layout of the other library are left.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from common import DATA, draw_batch, save_tensors, write_json
from models import MODELS, VOCABULARY
from versions import versions

LIBRARIES = ("peft", "adapters")


def model_of(folder: Path) -> str | None:
    names = [model.name for model in MODELS.iterdir() if folder.name.startswith(f"{model.name}-")]
    return max(names, key=len, default=None)


def library_of(adapter: Path) -> str:
    """The libraries tell their layouts by what the configuration holds."""
    config = adapter / "adapter_config.json"
    return "peft" if config.exists() and "peft_type" in json.loads(config.read_text()) else "adapters"


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@torch.no_grad()
def check(folder: Path, model: str, library: str, load_adapter: Callable[[str, Path], torch.nn.Module]) -> None:
    adapter = folder / "adapter"
    ids, _ = draw_batch(VOCABULARY)
    logits = load_adapter(model, adapter)(input_ids=ids).logits
    record = {"versions": versions(library), "base": hashes(MODELS / model), "adapter": hashes(adapter)}
    save_tensors(folder / "record.safetensors", {"ids": ids.int(), "logits": logits})
    write_json(folder / "record.json", record, indent=2)


def main(library: str, root: Path) -> None:
    load_adapter = import_module(f"{library}_methods").load_adapter
    checked = 0
    for folder in sorted(adapter.parent for adapter in root.glob("*/adapter")):
        model = model_of(folder)
        if model is not None and library_of(folder / "adapter") == library:
            check(folder, model, library, load_adapter)
            checked += 1
    print(f"{checked} adapters loaded and recorded")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in LIBRARIES:
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else DATA / "peftjs")
