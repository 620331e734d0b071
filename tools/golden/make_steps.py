"""LoRA as the optimisers of Hugging Face PEFT step it, on the tiny models: data/python/<model>-<method>.

Usage: python make_steps.py [NAME...], as plain-lora-pro, after make.py and make_gpt2.py
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import peft.optimizers.lorafa as lorafa
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer, create_riemannian_optimizer

from common import LEARNING_RATE, OUT, record, save_tensors, write_json
from models import load_model
from peft_methods import SOME, save_adapter, shake_all, trainable

RANK, ALPHA = 4, 6
# LoraFAOptimizer adds it before the correction of the bias, AdamW after it: too small to matter.
EPSILON = 1e-13

# It would round the products to bf16 otherwise.
lorafa.is_bf16_available = lambda: False


def plus(model: PeftModel) -> torch.optim.Optimizer:
    return create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=LEARNING_RATE, loraplus_lr_ratio=3.0, eps=EPSILON, weight_decay=0.0
    )


def fa(model: PeftModel) -> torch.optim.Optimizer:
    optimizer = create_lorafa_optimizer(model, r=RANK, lora_alpha=ALPHA, lr=LEARNING_RATE)
    for group in optimizer.param_groups:
        group["eps"] = EPSILON
    return optimizer


def riemannian(model: PeftModel) -> torch.optim.Optimizer:
    return create_riemannian_optimizer(
        model, torch.optim.AdamW, lr=LEARNING_RATE, reg=0.02, eps=EPSILON, weight_decay=0.0
    )


class LoraPro(torch.optim.AdamW):
    """AdamW of gradients as LoRA-Pro adjusts them. Wang, Liang, He, Wang & Tan, 2025. https://arxiv.org/abs/2407.18242, https://github.com/mrflogs/LoRA-Pro"""

    def __init__(self, model: PeftModel, **options: float) -> None:
        layers = [module for module in model.modules() if hasattr(module, "lora_A")]
        self.pairs = [(layer.lora_A["default"].weight, layer.lora_B["default"].weight) for layer in layers]
        super().__init__([p for pair in self.pairs for p in pair], **options)

    @torch.no_grad()
    def step(self) -> None:
        for a, b in self.pairs:
            scale, eye = (ALPHA / RANK) ** -2, torch.eye(RANK)
            q, p = a @ a.T, b.T @ b
            q_inverse, p_inverse = torch.linalg.inv(q + 1e-8 * eye), torch.linalg.inv(p + 1e-8 * eye)
            whole = torch.kron(p, eye) + torch.kron(eye, q)  # of P·X + X·Q, row by row
            x = torch.linalg.solve(whole.double(), (-scale * p_inverse @ a.grad @ a.T).double().flatten()).float().view(RANK, RANK)
            rest = b.grad - b @ p_inverse @ b.T @ b.grad
            a.grad, b.grad = scale * p_inverse @ a.grad + x @ a, scale * rest @ q_inverse - b @ x
        super().step()


def pro(model: PeftModel) -> torch.optim.Optimizer:
    return LoraPro(model, lr=LEARNING_RATE, eps=EPSILON, weight_decay=0.0)


# What makes the optimiser, and the fields by which our files say so.
CASES: dict[str, tuple[Callable[[PeftModel], torch.optim.Optimizer], dict]] = {
    "lora-plus": (plus, dict(loraplus_lr_ratio=3.0)),
    "lora-fa": (fa, dict(lora_fa=True)),
    "lora-pro": (pro, dict(lora_pro=True)),
    "riemannian-lora": (riemannian, dict(riemannian_reg=0.02)),
}


def make(base: str, method: str) -> None:
    torch.manual_seed(1)
    make_optimizer, fields = CASES[method]
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, task_type="CAUSAL_LM", target_modules=SOME[base])
    model = get_peft_model(load_model(base), config).eval()
    shake_all(trainable(model))
    folder: Path = OUT / f"{base}-{method}"
    save_adapter(model, base, folder / "adapter")
    written = folder / "adapter" / "adapter_config.json"
    write_json(written, json.loads(written.read_text()) | fields, indent=2)
    optimizer = make_optimizer(model)  # which may freeze some
    golden = record(model, trainable(model), epsilon=EPSILON, optimizer=optimizer)
    golden["logits after"] = model(input_ids=golden["ids"]).logits.detach()
    save_tensors(folder / "golden.safetensors", golden)


def main(names: list[str]) -> None:
    for base in ("plain", "gpt2"):
        for method in CASES:
            if not names or f"{base}-{method}" in names:
                make(base, method)


if __name__ == "__main__":
    main(sys.argv[1:])
