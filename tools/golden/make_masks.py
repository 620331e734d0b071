"""Records which weights of a tiny model methods choose that train some entries, in data/python/masks.safetensors: places, row · columns + column,
by method and path. Written from the papers and their authors' code; all linear layers but the output head may be chosen.

Usage: python make_masks.py
"""

import copy
from collections.abc import Callable

import torch
from torch import nn

from common import OUT, draw_batch, save_tensors, shift
from models import VOCABULARY, load_model

# The first that leaves no close decision is taken.
KEEPS = [0.05 + 0.0013 * i for i in range(100)]
Scores = dict[str, torch.Tensor]


def layers(model: nn.Module) -> dict[str, nn.Parameter]:
    found = {n: m.weight for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}
    for weight in found.values():
        weight.requires_grad_(True)
    return found


def gradients(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    weights = layers(model)
    loss = model(input_ids=ids, labels=targets).loss
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


def over_rows(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor, term: Callable[[torch.Tensor], torch.Tensor]) -> Scores:
    each = [gradients(model, ids[i : i + 1], targets[i : i + 1]) for i in range(len(ids))]
    return {n: sum(term(g[n]) for g in each) for n in each[0]}


def fish_mask(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """Sung, Nair & Raffel, 2021. https://github.com/varunnair18/FISH"""
    return over_rows(model, ids, targets, lambda g: g**2)


def lt_sft(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """Ansell et al., 2021. https://github.com/cambridgeltl/composable-sft. Twelve steps at a rate of 1e-3 that falls evenly, on
    a row each."""
    tuned = copy.deepcopy(model)
    weights = layers(tuned)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, weight_decay=0.0)
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / 12)
        optimizer.zero_grad()
        row = step % len(ids)
        tuned(input_ids=ids[row : row + 1], labels=targets[row : row + 1]).loss.backward()
        optimizer.step()
    before = layers(model)
    return {n: (w - before[n]).abs() for n, w in weights.items()}


def pa_fi(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """Liao, Meng & Monz, 2023. https://arxiv.org/abs/2305.16742"""
    return {n: -w.abs() for n, w in layers(model).items()}


def child_tuning_d(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """Xu et al., 2021. https://github.com/alibaba/AliceMind/tree/main/ChildTuning. A row is a batch; half of the gradients are clipped."""

    def clipped(gradient: torch.Tensor) -> torch.Tensor:
        parameter = nn.Parameter(torch.zeros_like(gradient))
        parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_(parameter, 0.3)
        return parameter.grad**2

    return over_rows(model, ids, targets, clipped)


def sam(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """Fu et al., 2022. https://github.com/fuzihaofzh/AnalyzeParameterEfficientFinetune"""
    return {n: s.abs() for n, s in over_rows(model, ids, targets, lambda g: g).items()}


def gps(scores: Scores, _keep: float) -> dict[str, torch.Tensor]:
    """Two weights of each row. Zhang et al., 2023. https://github.com/FightingFighting/GPS"""
    chosen = {}
    for name, s in scores.items():
        mask = torch.zeros_like(s)
        for i in range(2):
            best = s.argsort(1)[:, -(i + 1)]
            mask[torch.arange(len(s)), best] = 1
        chosen[name] = mask.flatten().nonzero()[:, 0]
    return chosen


def spt(scores: Scores, keep: float) -> dict[str, torch.Tensor] | None:
    """Layers that get an update of rank 1 have -1. He et al., 2023. https://github.com/ziplab/SPT"""
    chosen = over_all(scores, keep)
    if chosen is None:
        return None
    few = {n: len(places) < sum(scores[n].shape) / 4 for n, places in chosen.items()}
    return {n: places if few[n] else torch.tensor([-1]) for n, places in chosen.items()}


def s_bitfit(structured: bool) -> Callable[..., Callable[[float], dict[str, torch.Tensor] | None]]:
    """Two rounds of six steps on a row each. Lawton et al., 2023. https://arxiv.org/abs/2305.16597"""

    def prune(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Callable[[float], dict[str, torch.Tensor] | None]:
        modules = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}

        def left_of(keep: float) -> dict[str, torch.Tensor] | None:
            changes = {n: torch.zeros(m.out_features, requires_grad=True) for n, m in modules.items()}
            masks = {n: torch.ones(m.out_features) for n, m in modules.items()}

            def loss(rows: slice) -> torch.Tensor:
                for n, m in modules.items():
                    m.bias = None
                    m.forward = lambda x, m=m, n=n: nn.functional.linear(x, m.weight, changes[n] * masks[n])
                return model(input_ids=ids[rows], labels=targets[rows]).loss

            for turn in (1, 2):
                optimizer = torch.optim.AdamW(changes.values(), lr=1e-3, weight_decay=0.0)
                for step in range(6):
                    optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / 6)
                    optimizer.zero_grad()
                    row = step % len(ids)
                    loss(slice(row, row + 1)).backward()
                    optimizer.step()
                each = [torch.autograd.grad(loss(slice(i, i + 1)), list(changes.values())) for i in range(len(ids))]
                scores = [c.detach() * sum(g[i] for g in each) for i, c in enumerate(changes.values())]
                if structured:
                    scores = [s.sum()[None] for s in scores]
                open_ = [m[: len(s)] for m, s in zip(masks.values(), scores, strict=True)]
                flat = torch.cat([torch.where(m > 0, s.abs(), -1) for m, s in zip(open_, scores, strict=True)])
                if (places := largest(flat, max(1, int(len(flat) * keep ** (turn / 2) + 1e-9)))) is None:
                    return None
                kept = torch.zeros_like(flat)
                kept[places] = 1
                parts = kept.split([len(s) for s in scores])
                masks = {n: part * torch.ones_like(m) for (n, m), part in zip(masks.items(), parts, strict=True)}
            return {n: m.nonzero()[:, 0] for n, m in masks.items()}

        return left_of

    return prune


def far(model: nn.Module, ids: torch.Tensor, targets: torch.Tensor) -> Scores:
    """The L1 norm of what twelve steps change of each node of an MLP, by its block. Vucetic et al., 2022. https://arxiv.org/abs/2205.01541"""
    tuned = copy.deepcopy(model)
    own = {n: m.weight for n, m in tuned.named_modules() if isinstance(m, nn.Linear) and ".mlp." in n}
    for weight in own.values():
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(own.values(), lr=1e-3, weight_decay=0.0)
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / 12)
        optimizer.zero_grad()
        row = step % len(ids)
        tuned(input_ids=ids[row : row + 1], labels=targets[row : row + 1]).loss.backward()
        optimizer.step()
    nodes: Scores = {}
    for n, w in own.items():
        change = (w - model.get_parameter(f"{n}.weight")).abs().detach()
        block = n.split(".mlp.")[0]
        nodes[block] = nodes.get(block, 0) + change.sum(0 if n.endswith("down_proj") else 1)
    return nodes


def largest(scores: torch.Tensor, count: int) -> torch.Tensor | None:
    """Places of the `count` largest; none where the last of them is a close decision."""
    best = scores.flatten().topk(count + 1).values
    if best[-2] - best[-1] < 1e-4 * best[-2].abs():
        return None
    return (scores.flatten() >= best[-2]).nonzero()[:, 0]


def over_all(scores: Scores, keep: float) -> dict[str, torch.Tensor] | None:
    """Places of the share with the largest scores, over all layers together."""
    flat = torch.cat([s.flatten() for s in scores.values()])
    if (places := largest(flat, int(keep * len(flat)))) is None:
        return None
    mask = torch.zeros_like(flat)
    mask[places] = 1
    parts = mask.split([s.numel() for s in scores.values()])
    return {n: part.nonzero()[:, 0] for n, part in zip(scores, parts, strict=True)}


def in_each(scores: Scores, keep: float) -> dict[str, torch.Tensor] | None:
    """The same share of each layer."""
    chosen = {n: largest(s, int(keep * s.numel())) for n, s in scores.items()}
    return None if any(places is None for places in chosen.values()) else chosen


METHODS = {
    "fishMask": (fish_mask, over_all),
    "ltSft": (lt_sft, over_all),
    "paFi": (pa_fi, over_all),
    "childTuningD": (child_tuning_d, over_all),
    "sam": (sam, in_each),
    "gps": (sam, gps),
    "sensitivitySpt": (fish_mask, spt),
    "sBitfit": (s_bitfit(structured=True), lambda prune, keep: prune(keep)),
    "uBitfit": (s_bitfit(structured=False), lambda prune, keep: prune(keep)),
    "far": (far, over_all),
}


def main() -> None:
    ids, targets = draw_batch(VOCABULARY)
    tensors = {"ids": ids.int(), "labels": shift(targets)}
    for method, (score, choose) in METHODS.items():
        scores = score(load_model("plain").eval(), ids, targets)
        keep, chosen = next((k, c) for k in KEEPS if (c := choose(scores, k)) is not None)
        tensors[f"{method} keep"] = torch.tensor([keep])
        tensors |= {f"{method} {n}": places.int() for n, places in chosen.items() if len(places) > 0}
    save_tensors(OUT / "masks.safetensors", tensors)


if __name__ == "__main__":
    main()
