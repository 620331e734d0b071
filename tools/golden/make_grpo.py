"""TRL's loss of GRPO and its kin for given completions and advantages, with LoRA on the tiny Llama: data/grpo.

Usage: python make_grpo.py, with requirements-trl.txt installed and after make.py
"""

import json
import tempfile

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file

from common import DATA
from make_preferences import LORA, tokenizer
from models import VOCABULARY, load_model

FOLDER = DATA / "grpo"
ROWS, PROMPT, COMPLETION = 4, 4, 7

draw = torch.Generator().manual_seed(11)
prompts = torch.randint(3, VOCABULARY, (ROWS // 2, PROMPT), generator=draw).repeat_interleave(2, 0)
completions = torch.randint(3, VOCABULARY, (ROWS, COMPLETION), generator=draw)
mask = torch.zeros(ROWS, COMPLETION, dtype=torch.long)
for row, length in enumerate([7, 3, 5, 1]):
    mask[row, :length] = 1
completions = completions * mask
rewards = torch.tensor([1.0, 0.25, -0.5, 2.0])
in_groups = rewards.view(-1, 2)
spread = in_groups.std(dim=1).repeat_interleave(2)
advantages = (rewards - in_groups.mean(dim=1).repeat_interleave(2)) / (spread + 1e-4)

CASES: dict[str, dict] = {
    "dapo": dict(loss_type="dapo"),
    "dapo-high": dict(loss_type="dapo", epsilon=0.1, epsilon_high=0.28, beta=0.04),
    "grpo": dict(loss_type="grpo", beta=0.1),
    "bnpo": dict(loss_type="bnpo"),
    "dr": dict(loss_type="dr_grpo", beta=0.1),
    "cispo": dict(loss_type="cispo", epsilon_high=1.2),
    "gspo": dict(loss_type="grpo", importance_sampling_level="sequence", epsilon=0.05),
    "on-policy": dict(loss_type="grpo", beta=0.1),
    "temperature": dict(loss_type="dapo", temperature=0.7, beta=0.1),
    "updates": dict(loss_type="dapo", num_iterations=3, beta=0.1),
}

kept: dict[str, torch.Tensor] = {}
for case, options in CASES.items():
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as out:
        args = trl.GRPOConfig(
            output_dir=out, per_device_train_batch_size=ROWS, num_generations=2, max_completion_length=COMPLETION, use_cpu=True, bf16=False,
            gradient_checkpointing=False, report_to="none", **options,
        )
        trainer = trl.GRPOTrainer(
            model=load_model("plain"), reward_funcs=[lambda completions, **_: [0.0] * len(completions)], args=args,
            train_dataset=Dataset.from_list([{"prompt": "w3"}] * 8), processing_class=tokenizer(), peft_config=LoraConfig(**LORA),
        )
    model = trainer.model
    model.train()
    trainer.current_gradient_accumulation_steps = 1
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    torch.manual_seed(2)
    for p in params.values():
        p.data += 0.2 * torch.randn_like(p)
    ids = torch.cat([prompts, completions], 1)
    seen = torch.cat([torch.ones_like(prompts), mask], 1)

    def log_probs() -> torch.Tensor:
        with torch.no_grad():
            return trainer._get_per_token_logps_and_entropies(model, ids, seen, COMPLETION, compute_entropy=True)[0]

    inputs = dict(
        prompt_ids=prompts, prompt_mask=torch.ones_like(prompts), completion_ids=completions, completion_mask=mask, advantages=advantages,
        num_items_in_batch=mask.sum(),
    )
    with model.disable_adapter():
        inputs["ref_per_token_logps"] = log_probs()
    if case == "updates":
        # The log-probabilities of the weights that drew, kept for all updates by the batch.
        inputs["old_per_token_logps"] = log_probs()
        optimizer = torch.optim.AdamW(params.values(), lr=0.02, weight_decay=0.0)
        losses = []
        for _ in range(options["num_iterations"]):
            optimizer.zero_grad()
            loss = trainer._compute_loss(model, inputs)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        kept["updates losses"] = torch.tensor(losses)
        kept["updates clipped"] = torch.tensor(trainer._metrics["train"]["clip_ratio/region_mean"])
        kept["updates kl"] = torch.tensor(trainer._metrics["train"]["kl"])
        continue
    if case != "on-policy":
        inputs["old_per_token_logps"] = log_probs() + 0.3 * torch.randn(ROWS, COMPLETION, generator=torch.Generator().manual_seed(4))
        kept[f"{case} old"] = inputs["old_per_token_logps"]
    loss = trainer._compute_loss(model, inputs)
    loss.backward()
    kept[f"{case} loss"] = loss.detach().reshape(1)
    metrics = trainer._metrics["train"]
    for name in ("kl", "clip_ratio/region_mean"):
        if metrics[name]:
            kept[f"{case} {name}"] = torch.tensor(metrics[name])
    kept |= {f"{case} gradient {n.replace('.default', '')}": p.grad for n, p in params.items()}
    if case == "dapo":
        model.save_pretrained(FOLDER / "adapter")

kept |= {"ids": ids.int(), "mask": mask.int(), "rewards": rewards, "advantages": advantages}
save_file({n: t.detach().contiguous() for n, t in kept.items()}, FOLDER / "losses.safetensors", metadata={"trl": trl.__version__, "torch": torch.__version__})
(FOLDER / "adapter" / "README.md").unlink(missing_ok=True)
config = FOLDER / "adapter" / "adapter_config.json"
config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "plain"}, indent=2, sort_keys=True) + "\n")
