"""What all goldens have in common: where they are, the batch, and the recording of a model that trains."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

DATA = Path(__file__).parent / "data"
OUT = DATA / "python"
IGNORED = -100
LEARNING_RATE = 1e-2


def shake(parameter: torch.Tensor, std: float) -> None:
    """Norms that are all ones, or matrices B that are all zeros, would hide mistakes."""
    parameter.data += std * torch.randn_like(parameter)


def write_json(path: Path, value: object, indent: int | None = None) -> None:
    path.write_text(json.dumps(value, indent=indent) + "\n")


def draw_batch(vocab_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [2, 40] and the same ids as targets, some of them ignored. Those at position 0 always are, since PEFT lets the
    last virtual token of a prompt predict the first id."""
    ids = torch.randint(vocab_size, (2, 40), generator=torch.Generator().manual_seed(2))
    targets = ids.clone()
    targets[0, :5] = targets[1, 33:] = targets[:, 0] = IGNORED
    return ids, targets


def shift(targets: torch.Tensor) -> torch.Tensor:
    """What each position is to predict; transformers shifts its targets so by itself."""
    return F.pad(targets[:, 1:], (0, 1), value=IGNORED).int()


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, path)


def continue_greedily(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Twenty tokens after the first eight of the first row, none of them a close decision."""
    out = model.generate(
        input_ids=ids[:1, :8], max_new_tokens=20, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    best = torch.stack(out.logits, 1).topk(2).values
    if (best[..., 0] - best[..., 1]).min() < 1e-3:
        raise SystemExit("two tokens are almost equally likely: choose another seed")
    return out.sequences[0, -20:].int()


def train(
    model: torch.nn.Module,
    params: dict[str, torch.nn.Parameter],
    ids: torch.Tensor,
    targets: torch.Tensor,
    weight_decay: float = 0.0,
    epsilon: float = 1e-8,
    after_step: Callable[[int], None] = lambda step: None,
    optimizer: torch.optim.Optimizer | None = None,
    penalty: Callable[[], torch.Tensor | float] = lambda: 0.0,
) -> dict[str, torch.Tensor]:
    """Three steps of AdamW, or of another optimizer, on one batch: losses, gradients in the first step, and parameters after the last."""
    golden = {}
    losses = []
    optimizer = optimizer or torch.optim.AdamW(
        params.values(), lr=LEARNING_RATE, betas=(0.9, 0.999), eps=epsilon, weight_decay=weight_decay
    )
    for step in range(3):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=targets).loss + penalty()
        loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        after_step(step)
        losses.append(loss.detach())
    golden |= {f"trained {n}": p for n, p in params.items()}
    return golden | {"losses": torch.stack(losses)}


def record(
    model: torch.nn.Module,
    params: dict[str, torch.nn.Parameter],
    greedy: bool = True,
    initial: bool = False,
    epsilon: float = 1e-8,
    after_step: Callable[[int], None] = lambda step: None,
    optimizer: torch.optim.Optimizer | None = None,
    penalty: Callable[[], torch.Tensor | float] = lambda: 0.0,
    training: bool = False,
    batch: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """A golden; with the parameters before the training too if no file of the adapter holds them.

    Where a bias shifts all scores of a softmax alike, its gradient is rounding alone, which AdamW would follow in whole
    steps. A larger epsilon keeps such biases where they are. `training`: whether modules are told that they train, of methods that then do otherwise;
    nothing is dropped.
    """
    ids, targets = batch or draw_batch(model.config.vocab_size)
    golden = {
        "ids": ids.int(),
        "labels": shift(targets),
        "logits": model(input_ids=ids).logits.detach(),
        "epsilon": torch.tensor([epsilon]),
    }
    if greedy:
        golden["greedy"] = continue_greedily(model, ids)
    if initial:
        golden |= {f"param {n}": p.detach().clone() for n, p in params.items()}
    model.train(training)
    return golden | train(model, params, ids, targets, epsilon=epsilon, after_step=after_step, penalty=penalty, optimizer=optimizer)
