"""Loads a base model and an adapter with transformers and PEFT and records what they compute.

Usage: python check.py MODEL_DIR ADAPTER_DIR OUT.json [TEXT_FILE]

The ids are the first tokens of the text by the model's tokenizer or, without a text, a fixed pattern. OUT.json gets
versions, SHA-256 of the files and losses; ids, and logits of a few positions, go to OUT.safetensors.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from peft_methods import require_same_tensors
from versions import versions

LENGTH = 128


def hashes(folder: Path, *names: str) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def choose_ids(folder: Path, text: Path | None, vocab_size: int, length: int) -> list[int]:
    if text is None:
        return [(7 * i * i + 3 * i + 1) % vocab_size for i in range(length)]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return tokenizer.encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids[:length]


@torch.no_grad()
def check(folder: Path, adapter: Path, out: Path, text: Path | None = None) -> None:
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter).eval()
    require_same_tensors(model, load_file(adapter / "adapter_model.safetensors"))

    length = min(LENGTH, base.config.max_position_embeddings)
    ids = torch.tensor(choose_ids(folder, text, base.config.vocab_size, length))
    logits = model(ids[None]).logits[0]
    with model.disable_adapter():
        base_logits = model(ids[None]).logits[0]
    positions = torch.tensor([0, len(ids) // 2, len(ids) - 1])
    record = {
        "versions": versions("peft"),
        "base": hashes(folder, "model.safetensors"),
        "adapter": hashes(adapter, "adapter_config.json", "adapter_model.safetensors"),
        "loss": F.cross_entropy(logits[:-1], ids[1:]).item(),
        "baseLoss": F.cross_entropy(base_logits[:-1], ids[1:]).item(),
    }
    out.write_text(json.dumps(record, indent=2) + "\n")
    tensors = {"ids": ids.int(), "positions": positions.int(), "logits": logits[positions]}
    save_file(tensors, out.with_suffix(".safetensors"))


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    check(*map(Path, sys.argv[1:]))
