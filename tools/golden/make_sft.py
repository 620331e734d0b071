"""Twenty steps of TRL's SFTTrainer with LoRA, in data/sft: completions alone learnt, packed rows, and conversations of which what the assistant says is learnt. The batches that it saw, the loss of each step, the adapter before;
of conversations also these, and the tokenizer with a template that does not mark what the assistant says, where TRL had the same one with marks.

Usage: python make_sft.py [MODEL FOLDER] [CASE ...], with requirements-trl.txt installed and after make.py; of another model than the tiny Llama into a folder of yours, for sft.ts
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
from tokenizers.models import WordLevel, WordPiece
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from common import DATA
from make_preferences import COMMON, LORA, tokenizer
from models import VOCABULARY, load_model

MODEL, FOLDER = (sys.argv[1], Path(sys.argv[2])) if "/" in "".join(sys.argv[1:]) else (None, DATA / "sft")
NAMES = sys.argv[3 if MODEL else 1 :]
STEPS, ROWS = 20, 2
WORDS = "the whale ship sea captain and harpoon of a white storm sail over under deep old mast crew night wind".split()
# Templates, what is marked in brackets, for the tiny model and for SmolLM2's.
TINY = "{% for message in messages %}{{ 'w5 ' if message.role == 'user' else 'w6 ' }}⟦{{ message.content }} </s>⟧ {% endfor %}{% if add_generation_prompt %}{{ 'w6 ' }}{% endif %}"
CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
'}}⟦{{ message['content'] + '<|im_end|>' }}⟧{{ '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
SIZES = dict(max_length=24) if MODEL is None else dict(max_length=64, learning_rate=1e-3)


def examples(case: str) -> Dataset:
    draw = random.Random(6)

    def text(least: int, most: int) -> str:
        count = draw.randint(least, most)
        return " ".join(draw.choice(WORDS) if MODEL else f"w{draw.randrange(3, VOCABULARY)}" for _ in range(count))

    if case == "chat":
        turns = lambda: [dict(role=role, content=text(1, 5)) for _ in range(draw.randint(1, 3)) for role in ("user", "assistant")]  # noqa: E731
        rows = [{"messages": turns()} for _ in range(STEPS * ROWS)]
    elif case == "completion":
        rows = [{"prompt": text(2, 6) + " ", "completion": text(1, 8)} for _ in range(STEPS * ROWS)]
    else:
        rows = [{"text": text(3, 16)} for _ in range(6 * STEPS * ROWS)]
    return Dataset.from_list(rows)


def template(marked: bool) -> str:
    text = TINY if MODEL is None else CHATML
    before, inside, after = text.replace("⟧", "⟦").split("⟦")
    if marked:
        inside = f"{{% if message.role == 'assistant' %}}{{% generation %}}{inside}{{% endgeneration %}}{{% else %}}{inside}{{% endif %}}"
    return before + inside + after


def tokenizer_of(case: str) -> PreTrainedTokenizerBase:
    # Whole words by a model of pieces, which is read here too.
    made = tokenizer(WordPiece if case == "chat" else WordLevel) if MODEL is None else AutoTokenizer.from_pretrained(MODEL)
    if case == "chat":
        made.chat_template = template(marked=True)
    return made


CASES = {
    "completion": {},
    "wrapped": dict(packing=True, packing_strategy="wrapped"),
    "packed": dict(packing=True, packing_strategy="bfd"),
    "chat": dict(assistant_only_loss=True, max_length=128),
}

for case, options in {case: CASES[case] for case in NAMES or CASES}.items():
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
            train_dataset=examples(case), processing_class=tokenizer_of(case),
            peft_config=LoraConfig(**LORA),
        )
        folder = FOLDER / case
        trainer.model.save_pretrained(folder / "before")
        trainer.train()
    assert len(losses) == STEPS
    kept["losses"] = torch.tensor(losses)
    save_file({n: t.contiguous() for n, t in kept.items()}, folder / "steps.safetensors", metadata={"trl": trl.__version__, "torch": torch.__version__})
    if case == "chat":
        (folder / "conversations.json").write_text(json.dumps([row["messages"] for row in examples(case)], indent=0) + "\n")
        plain = tokenizer_of(case)
        plain.chat_template = template(marked=False)
        plain.save_pretrained(folder / "tokenizer")
    (folder / "before" / "README.md").unlink(missing_ok=True)
    config = folder / "before" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "plain"}, indent=2, sort_keys=True) + "\n")
