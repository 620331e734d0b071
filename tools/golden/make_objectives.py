"""Losses of objectives and of classes on given logits, and of the tiny Llama, in data/objectives.safetensors.

Usage: python make_objectives.py, after make.py
"""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

from common import DATA, IGNORED, draw_batch, shift
from models import VOCABULARY, load_model

kept: dict[str, torch.Tensor] = {}


def record(name: str, loss: torch.Tensor, logits: torch.Tensor) -> None:
    """A loss, and its gradient by the logits."""
    (kept[f"{name} gradient"],) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept[f"{name} loss"] = loss.detach().reshape(1)


# Classes.
draw = torch.Generator().manual_seed(7)
logits = (2 * torch.randn(6, 4, generator=draw)).requires_grad_()
labels = torch.tensor([0, 3, IGNORED, 1, 1, 2])
weights = torch.tensor([0.5, 2.0, 1.0, 0.25])
kept |= {"logits": logits.detach(), "labels": labels.int()}
record("weights", F.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED), logits)
record("smoothing", LabelSmoother(epsilon=0.2)({"logits": logits}, labels.clone()), logits)

has_label = labels != IGNORED
nll = F.cross_entropy(logits[has_label], labels[has_label], reduction="none")
focal = (1 - torch.exp(-nll)) ** 2 * nll
record("focus", focal.mean(), logits)
record("focus-weights", (weights[labels[has_label]] * focal).mean(), logits)

# A language model.
ids, targets = draw_batch(VOCABULARY)
shifted = shift(targets)
kept |= {"ids": ids.int(), "targets": shifted}
y = load_model("plain")(ids).logits.detach().requires_grad_()
record("lm-smoothing", LabelSmoother(epsilon=0.2)({"logits": y}, targets.clone(), shift_labels=True), y)

# A teacher's likeliest classes.
teacher = 3 * torch.randn(*y.shape, generator=draw)
values, classes = teacher.topk(5)
kept |= {"teacherIds": classes.int(), "teacherLogits": values}
mask = shifted != IGNORED
p = F.log_softmax(values / 3, -1)
q = F.log_softmax(y / 3, -1).gather(-1, classes)
apart = (p.exp() * (p - q)).sum(-1)[mask].mean()
record("distillation", 0.3 * F.cross_entropy(y[mask], shifted[mask].long()) + 0.7 * 9 * apart, y)

# The squared difference of logits, https://github.com/FasterDecoding/BitDelta, bitdelta/train.py, where all tokens count.
kept["teacher"] = teacher
record("mse", F.mse_loss(teacher[mask], y[mask]), y)

# T-Few: two questions of three answers, by the formulas of https://github.com/r-three/t-few, src/models/EncoderDecoder.py, `training_step`.
choices = torch.randint(VOCABULARY, (6, 9), generator=draw)
answers = torch.full((6, 9), IGNORED)
for row, length in enumerate([3, 5, 2, 4, 4, 6]):
    answers[row, 2 : 2 + length] = torch.randint(VOCABULARY, (length,), generator=draw)
kept |= {"choices": choices.int(), "answers": answers.int()}
y = load_model("plain")(choices).logits.detach().requires_grad_()
log_p = -F.cross_entropy(y.flatten(0, 1), answers.flatten(), reduction="none", ignore_index=IGNORED).view(2, 3, 9)
has_label = (answers != IGNORED).view(2, 3, 9)
scores = log_p.sum(-1) / has_label.sum(-1)
lm = -log_p[:, 0].sum() / has_label[:, 0].sum()
mc = F.cross_entropy(scores, torch.zeros(2, dtype=torch.long))
unlikely = -(torch.log(1 - torch.exp(log_p[:, 1:]) + 1e-2) * has_label[:, 1:]).sum() / has_label[:, 1:].sum()
record("t-few", lm + 0.5 * mc + 0.7 * unlikely, y)
kept["t-few accuracy"] = (scores.argmax(-1) == 0).float().mean().reshape(1)

# PTP's adversarial kind, of the norm before the head: https://arxiv.org/abs/2305.02423, Madry et al., https://arxiv.org/abs/1706.06083.
model = load_model("plain")
norm = model.model.norm.weight
x = model.get_input_embeddings()(ids).detach()


def loss_at(delta: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(inputs_embeds=x + delta).logits.flatten(0, 1), shifted.flatten().long(), ignore_index=IGNORED)


delta = torch.zeros_like(x)
for _ in range(3):
    (g,) = torch.autograd.grad(loss_at(delta.requires_grad_()), delta)
    delta = delta.detach() + 0.4 * g / g.flatten(1).norm(dim=1)[:, None, None]
    delta *= (0.9 / delta.flatten(1).norm(dim=1)).clamp(max=1)[:, None, None]
clean, both = loss_at(torch.zeros_like(x)), loss_at(torch.zeros_like(x)) + 0.7 * loss_at(delta)
kept |= {"ptp loss": both.detach().reshape(1), "ptp clean": clean.detach().reshape(1), "ptp gradient": torch.autograd.grad(both, norm)[0]}

save_file({name: t.detach().contiguous() for name, t in kept.items()}, DATA / "objectives.safetensors", metadata={"torch": torch.__version__})
