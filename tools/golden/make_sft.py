"""Twenty steps of TRL's SFTTrainer with LoRA, in data/sft: completions alone learnt, and packed rows. The batches that it saw, the loss of each step, the adapter before.

Usage: python make_sft.py [MODEL FOLDER], with requirements-trl.txt installed and after make.py; of another model than the tiny Llama into a folder of yours, for sft.ts
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import DATA
from make_preferences import COMMON, LORA, tokenizer
from models import VOCABULARY, load_model

MODEL, FOLDER = (sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 2 else (None, DATA / "sft")
STEPS, ROWS = 20, 2
WORDS = "the whale ship sea captain and harpoon of a white storm sail over under deep old mast crew night wind".split()
SIZES = dict(max_length=24) if MODEL is None else dict(max_length=64, learning_rate=1e-3)


def examples(case: str) -> Dataset:
    draw = random.Random(6)

    def text(least: int, most: int) -> str:
        count = draw.randint(least, most)
        return " ".join(draw.choice(WORDS) if MODEL else f"w{draw.randrange(3, VOCABULARY)}" for _ in range(count))

    if case == "completion":
        rows = [{"prompt": text(2, 6) + " ", "completion": text(1, 8)} for _ in range(STEPS * ROWS)]
    else:
        rows = [{"text": text(3, 16)} for _ in range(6 * STEPS * ROWS)]
    return Dataset.from_list(rows)


CASES = {
    "completion": {},
    "wrapped": dict(packing=True, packing_strategy="wrapped"),
    "packed": dict(packing=True, packing_strategy="bfd"),
}

for case, options in CASES.items():
    torch.manual_seed(1)
    kept: dict[str, torch.Tensor] = {}
    losses: list[float] = []

    class Watched(trl.SFTTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            step = len(losses)
            for name in ("input_ids", "labels", "position_ids", "attention_mask"):
                if name in inputs:
                    kept[f"{name} {step}"] = inputs[name].int().clone()
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            losses.append(loss.item())
            return loss

    with tempfile.TemporaryDirectory() as out:
        trainer = Watched(
            model=load_model("plain") if MODEL is None else AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32),
            args=trl.SFTConfig(output_dir=out, **COMMON | dict(per_device_train_batch_size=ROWS) | SIZES | options),
            train_dataset=examples(case), processing_class=tokenizer() if MODEL is None else AutoTokenizer.from_pretrained(MODEL),
            peft_config=LoraConfig(**LORA),
        )
        folder = FOLDER / case
        trainer.model.save_pretrained(folder / "before")
        trainer.train()
    assert len(losses) == STEPS
    kept["losses"] = torch.tensor(losses)
    save_file({n: t.contiguous() for n, t in kept.items()}, folder / "steps.safetensors", metadata={"trl": trl.__version__, "torch": torch.__version__})
    (folder / "before" / "README.md").unlink(missing_ok=True)
    config = folder / "before" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "plain"}, indent=2, sort_keys=True) + "\n")
