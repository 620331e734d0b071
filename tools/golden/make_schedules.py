"""Learning rates of transformers' `get_scheduler`, step by step, in data/schedules.json: each case with the options of ours that it is.

Usage: python make_schedules.py
"""

import json
import math

import torch
from transformers import get_scheduler

from common import DATA

STEPS = 40
# name, options of ours, transformers' name, its warm-up, its further arguments
CASES = [
    ("constant", {}, "constant", 0, {}),
    ("constant", {"warmup": 7}, "constant_with_warmup", 7, {}),
    ("linear", {"steps": STEPS}, "linear", 0, {}),
    ("linear", {"steps": STEPS, "warmup": 6}, "linear", 6, {}),
    ("linear", {"steps": STEPS, "warmup": STEPS}, "linear", STEPS, {}),
    ("cosine", {"steps": STEPS, "warmup": 6}, "cosine", 6, {}),
    ("cosine", {"steps": STEPS, "warmup": 3, "floor": 0.1}, "cosine_with_min_lr", 3, {"min_lr_rate": 0.1}),
    ("cosineRestarts", {"steps": STEPS, "warmup": 4, "cycles": 3}, "cosine_with_restarts", 4, {"num_cycles": 3}),
    ("cosineRestarts", {"steps": STEPS}, "cosine_with_restarts", 0, {}),
    ("polynomial", {"steps": STEPS, "warmup": 4, "power": 2, "floor": 0.05}, "polynomial", 4, {"lr_end": 0.0001, "power": 2}),
    ("inverseSqrt", {"warmup": 5}, "inverse_sqrt", 5, {}),
    ("inverseSqrt", {}, "inverse_sqrt", 0, {}),
    ("inverseSqrt", {"warmup": 5, "timescale": 12}, "inverse_sqrt", 5, {"timescale": 12}),
    *(
        ("wsd", {"steps": STEPS, "warmup": 5, "decay": 10, "shape": ours, "floor": floor}, "warmup_stable_decay", 5,
         {"num_decay_steps": 10, "decay_type": theirs, "min_lr_ratio": floor})
        for ours, theirs, floor in [("cosine", "cosine", 0), ("linear", "linear", 0.2), ("sqrt", "1-sqrt", 0.1)]
    ),
]
PLATEAUS = [
    ({"patience": 2}, {"patience": 2}),
    ({"factor": 0.5, "patience": 1, "cooldown": 3, "threshold": 0.01, "floor": 0.1},
     {"factor": 0.5, "patience": 1, "cooldown": 3, "threshold": 0.01, "min_lr": 0.0002}),
]
RATE = 0.002


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def loss(i: int) -> float:
    """Falls, waits, falls a little, rises."""
    return 3 / (1 + min(i, 9)) + 0.004 * math.sin(i) - (0.05 if 20 <= i < 24 else 0) + 0.01 * max(0, i - 30)


def main() -> None:
    found = []
    for name, options, theirs, warmup, more in CASES:
        stepped = optimizer()
        schedule = get_scheduler(theirs, stepped, warmup, STEPS, scheduler_specific_kwargs=more)
        rates = []
        for _ in range(STEPS + 1):
            rates.append(stepped.param_groups[0]["lr"])
            stepped.step()
            schedule.step()
        found.append({"options": {"name": name, "learningRate": RATE, **options}, "rates": rates})
    for options, more in PLATEAUS:
        stepped = optimizer()
        schedule = get_scheduler("reduce_lr_on_plateau", stepped, scheduler_specific_kwargs=more)
        rates, losses = [], []
        for i in range(STEPS):
            losses.append(loss(i))
            schedule.step(losses[-1])
            rates.append(stepped.param_groups[0]["lr"])
        found.append({"options": {"name": "reduceOnPlateau", "learningRate": RATE, **options}, "rates": rates, "losses": losses})
    (DATA / "schedules.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
