"""Records what exact optimal transport makes of three bottlenecks, in data/python/mera.safetensors: their projections, and the mean after the units of the second and third
were brought next to those of the first, by `ot.emd` of Python's Optimal Transport as Singh & Jaggi's code does it (https://github.com/sidak/otfusion, wasserstein_ensemble.py; check_authors.py runs
that beside this): T is divided by the mass of a unit, so that it takes each unit to one place. Units are told by what goes into them, and by their values before the activation in a tiny model with the adapters of this file after
both MLPs, whose layers then differ.

Usage: python make_mera.py (`pip install POT==0.9.6`)
"""

from collections.abc import Sequence

import numpy as np
import torch

from common import OUT, draw_batch, save_tensors
from models import VOCABULARY, load_model

UNITS, WIDTH, WEIGHTS = 8, 16, (0.5, 0.2, 0.3)
NAMES = ("down", "bias", "up")

Bottleneck = Sequence[torch.Tensor]


def draw_adapters() -> list[Bottleneck]:
    return [(torch.randn(UNITS, WIDTH), torch.randn(UNITS), torch.randn(WIDTH, UNITS)) for _ in WEIGHTS]


def merged_by(units: Sequence[torch.Tensor], adapters: Sequence[Bottleneck], weights: Sequence[float]) -> list[torch.Tensor]:
    """The mean of adapters, after the units of each were brought next to the first one's; `units` tell them by a row each."""
    import ot

    mass = np.full(UNITS, 1 / UNITS)
    merged = [weights[0] * t for t in adapters[0]]
    for weight, own, (d, b, u) in zip(weights[1:], units[1:], adapters[1:], strict=True):
        cost = torch.cdist(own.double(), units[0].double())
        plan = torch.from_numpy(ot.emd(mass, mass, cost.numpy()) * UNITS).float()  # [units of the other, units of the first]
        for i, moved in enumerate((plan.T @ d, plan.T @ b, u @ plan)):
            merged[i] += weight * moved
    return merged


@torch.no_grad()
def values_in(ids: torch.Tensor, adapter: Bottleneck) -> list[torch.Tensor]:
    """The units of each layer by their values over all tokens, [units, tokens]."""
    model, values, stream = load_model("square"), [], []
    down, bias, up = adapter
    for layer in model.model.layers:
        layer.post_attention_layernorm.register_forward_pre_hook(lambda module, args: stream.append(args[0]))

        def after(module: torch.nn.Module, args: tuple, y: torch.Tensor) -> torch.Tensor:
            values.append((y + stream.pop()) @ down.T + bias)
            return y + values[-1].relu() @ up.T

        layer.mlp.register_forward_hook(after)
    model(ids)
    return [v.flatten(0, 1).T for v in values]


def main() -> None:
    torch.manual_seed(5)
    adapters = draw_adapters()
    tensors = {f"{i} {name}": t for i, adapter in enumerate(adapters) for name, t in zip(NAMES, adapter, strict=True)}
    tensors["weights"] = torch.tensor(WEIGHTS)
    by_weights = merged_by([torch.cat([d, b[:, None]], 1) for d, b, _ in adapters], adapters, WEIGHTS)
    tensors |= {f"merged {name}": t for name, t in zip(NAMES, by_weights, strict=True)}
    tensors["ids"] = draw_batch(VOCABULARY)[0].int()
    seen = [values_in(tensors["ids"].long(), adapter) for adapter in adapters]
    for layer, units in enumerate(zip(*seen, strict=True)):
        tensors |= {f"active {layer} {name}": t for name, t in zip(NAMES, merged_by(units, adapters, WEIGHTS), strict=True)}
    save_tensors(OUT / "mera.safetensors", tensors)


if __name__ == "__main__":
    main()
