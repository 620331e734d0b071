"""Twenty steps of TRL's trainers with LoRA on the tiny Llama, in data/preferences: the batches that they saw, losses and metrics of each step, the adapter before and after.

Usage: python make_preferences.py [CASE ...], with requirements-trl.txt installed and after make.py; without a case all are made
"""

import json
import os
import sys
import random
import tempfile
import warnings
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
warnings.filterwarnings("ignore")

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from common import DATA
from models import MODELS, VOCABULARY, load_model

FOLDER = DATA / "preferences"
STEPS = 20
PAIRS = 2
JUDGED = 3
LORA = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.0, task_type="CAUSAL_LM")
COMMON = dict(
    max_steps=STEPS, per_device_train_batch_size=PAIRS, learning_rate=1e-2, lr_scheduler_type="constant", optim="adamw_torch",
    weight_decay=0.0, max_grad_norm=1.0, logging_steps=1, report_to="none", save_strategy="no", bf16=False, fp16=False,
    gradient_checkpointing=False, use_cpu=True, seed=3, disable_tqdm=True, max_length=64,
)


# The trainer of KTO takes its batches in the data's order.
SIZES = {"kto": dict(per_device_train_batch_size=JUDGED)}
TASKS = {"reward": dict(task_type="SEQ_CLS", modules_to_save=["score"])}
METRICS = (
    "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected", "kl", "margin",
    "accuracy",
)


def model_of(kind: str) -> torch.nn.Module:
    if kind != "reward":
        return load_model("plain")
    return AutoModelForSequenceClassification.from_pretrained(MODELS / "plain", num_labels=1, dtype=torch.float32, pad_token_id=0)


def tokenizer(kind: type = models.WordLevel) -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    tok = Tokenizer(kind(words, unk_token="<pad>"))
    tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def examples(kind: str) -> Dataset:
    draw = random.Random(5)

    def text(least: int, most: int) -> str:
        return " ".join(f"w{draw.randrange(3, VOCABULARY)}" for _ in range(draw.randint(least, most)))

    if kind == "kto":
        return Dataset.from_list(
            [
                {"prompt": text(2, 6) + " ", "completion": text(1, 6), "label": draw.random() < 0.6}
                for _ in range(STEPS * JUDGED)
            ]
        )
    return Dataset.from_list(
        [{"prompt": text(2, 6) + " ", "chosen": text(1, 8), "rejected": text(1, 8)} for _ in range(STEPS * PAIRS)]
    )


def in_rows(inputs: dict[str, torch.Tensor], kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels [2 * pairs, tokens], a pair's rows one after the other; labels are the tokens to predict, -100 where none."""
    if kind == "reward":
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        labels = torch.full_like(ids, -100)
    elif kind == "kto":
        size = max(inputs[f"{part}input_ids"].shape[1] for part in ("", "KL_"))

        def parts(name: str) -> torch.Tensor:
            found = [inputs[f"{part}{name}"] for part in ("", "KL_")]
            return torch.cat([torch.nn.functional.pad(p, (0, size - p.shape[1])) for p in found])

        ids, mask = parts("input_ids"), parts("attention_mask")
        labels = ids.masked_fill(parts("completion_mask") == 0, -100)
    elif kind == "dpo":
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        labels = ids.masked_fill(inputs["completion_mask"] == 0, -100)
    else:
        size = max(inputs[f"{side}_input_ids"].shape[1] for side in ("chosen", "rejected"))

        def both(name: str, fill: int) -> torch.Tensor:
            parts = [inputs[f"{side}_{name}"] for side in ("chosen", "rejected")]
            return torch.cat([torch.nn.functional.pad(p, (0, size - p.shape[1]), value=fill) for p in parts])

        ids, mask, labels = both("input_ids", 0), both("attention_mask", 0), both("labels", -100)
    ids = ids.masked_fill(mask == 0, -1)
    order = torch.arange(len(ids)).reshape(2, -1).T.reshape(-1)
    return ids[order].int(), labels[order].int()


def record(case: str, kind: str, trainer_of: type, config_of: type, **options: object) -> None:
    if sys.argv[1:] and case not in sys.argv[1:]:
        return
    torch.manual_seed(1)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    judged: list[torch.Tensor] = []
    losses: list[float] = []

    class Watched(trainer_of):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen.append(in_rows(inputs, kind))
            if kind == "kto":
                judged.append(torch.tensor([float(label) for label in inputs["label"]]))
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            losses.append(loss.item())
            return loss

    with tempfile.TemporaryDirectory() as out:
        trainer = Watched(
            model=model_of(kind), args=config_of(output_dir=out, **COMMON | SIZES.get(kind, {}), **options), train_dataset=examples(kind),
            processing_class=tokenizer(), peft_config=LoraConfig(**LORA | TASKS.get(kind, {})),
        )
        folder = FOLDER / case
        trainer.model.save_pretrained(folder / "before")
        trainer.train()
        trainer.model.save_pretrained(folder / "after")
    logs = [line for line in trainer.state.log_history if "loss" in line]
    assert len(logs) == STEPS == len(losses)
    kept = {"losses": torch.tensor(losses)}
    for name in METRICS:
        # Of good or bad answers there may be none in a batch.
        if any(name in line for line in logs):
            kept[name] = torch.tensor([line.get(name, 0.0) for line in logs])
    kept |= {f"desirable {step}": values for step, values in enumerate(judged)}
    for step, (ids, labels) in enumerate(seen):
        kept |= {f"ids {step}": ids.contiguous(), f"labels {step}": labels.contiguous()}
    save_file(kept, folder / "steps.safetensors", metadata={"trl": trl.__version__, "torch": torch.__version__})
    for part in ("before", "after"):
        (folder / part / "README.md").unlink(missing_ok=True)
        config = folder / part / "adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "plain"}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    DPO = dict(kind="dpo", trainer_of=trl.DPOTrainer, config_of=trl.DPOConfig, beta=0.3)
    record("dpo-sigmoid", **DPO)
    record("dpo-hinge", **DPO, loss_type="hinge")
    record("dpo-ipo", **DPO, loss_type="ipo")
    record("dpo-robust", **DPO, loss_type="robust", label_smoothing=0.1)
    record("dpo-exo", **DPO, loss_type="exo_pair", label_smoothing=0.05)
    record("dpo-nca", **DPO, loss_type="nca_pair")
    record("dpo-bco", **DPO, loss_type="bco_pair")
    record("dpo-sppo", **DPO, loss_type="sppo_hard")
    record("dpo-apo-zero", **DPO, loss_type="apo_zero")
    record("dpo-apo-down", **DPO, loss_type="apo_down")
    record("dpo-sigmoid-norm", **DPO, loss_type="sigmoid_norm")

    CPO = dict(kind="cpo", trainer_of=CPOTrainer, config_of=CPOConfig)
    record("cpo", **CPO, beta=0.2, label_smoothing=0.1)
    record("cpo-hinge", **CPO, beta=0.2, loss_type="hinge", cpo_alpha=0.5)
    record("cpo-ipo", **CPO, beta=0.2, loss_type="ipo")
    record("simpo", **CPO, beta=2.0, loss_type="simpo", simpo_gamma=0.6, cpo_alpha=0.0)

    record("orpo", kind="cpo", trainer_of=ORPOTrainer, config_of=ORPOConfig, beta=0.3)

    KTO = dict(kind="kto", trainer_of=trl.KTOTrainer, config_of=trl.KTOConfig)
    record("kto", **KTO, beta=0.3, desirable_weight=1.5, undesirable_weight=0.8)

    record("reward", kind="reward", trainer_of=trl.RewardTrainer, config_of=trl.RewardConfig, center_rewards_coefficient=0.05)
