"""Records what exact optimal transport makes of three bottlenecks, in data/python/mera.safetensors: their projections, and the mean after the units of the second and third
were brought next to those of the first, by `ot.emd` of Python's Optimal Transport as Singh & Jaggi's code does it by weights (https://github.com/sidak/otfusion, wasserstein_ensemble.py): T is divided by
the mass of a unit, so that it takes each unit to one place.

Usage: python make_mera.py (`pip install POT==0.9.6`)
"""

import numpy as np
import ot
import torch

from common import OUT, save_tensors

UNITS, WIDTH, WEIGHTS = 8, 16, (0.5, 0.2, 0.3)


def main() -> None:
    torch.manual_seed(5)
    draw = lambda: (torch.randn(UNITS, WIDTH), torch.randn(UNITS), torch.randn(WIDTH, UNITS))  # noqa: E731
    adapters = [draw() for _ in WEIGHTS]
    mass = np.full(UNITS, 1 / UNITS)
    down, bias, up = adapters[0]
    merged = [WEIGHTS[0] * t for t in (down, bias, up)]
    for weight, (d, b, u) in zip(WEIGHTS[1:], adapters[1:], strict=True):
        cost = torch.cdist(torch.cat([d, b[:, None]], 1).double(), torch.cat([down, bias[:, None]], 1).double())
        plan = torch.from_numpy(ot.emd(mass, mass, cost.numpy()) * UNITS).float()  # [units of the other, units of the first]
        for i, moved in enumerate((plan.T @ d, plan.T @ b, u @ plan)):
            merged[i] += weight * moved
    tensors = {f"{i} {name}": t for i, adapter in enumerate(adapters) for name, t in zip(("down", "bias", "up"), adapter, strict=True)}
    save_tensors(OUT / "mera.safetensors", tensors | dict(zip(("merged down", "merged bias", "merged up"), merged, strict=True)) | {"weights": torch.tensor(WEIGHTS)})


if __name__ == "__main__":
    main()
