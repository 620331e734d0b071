"""Ten steps of optimisers on given gradients, in data/optimizers/<case>.safetensors: `<step> <parameter>`.

Parameters and gradients are formulas, the same as in test/optimizers.test.ts. Usage: python make_optimizers.py
"""

import inspect
from collections.abc import Callable

import bitsandbytes
import bitsandbytes.backends.cpu.ops as bnb_cpu
import numpy
import prodigyopt
import schedulefree
import torch
import torch.optim._muon as torch_muon
from safetensors.torch import save_file

from common import DATA

STEPS = 10
SHAPES = {"matrix": (6, 5), "tall": (7, 3), "vector": (5,), "cube": (2, 3, 4), "large": (72, 64)}


def initial(name: str) -> torch.Tensor:
    shape = SHAPES[name]
    i = numpy.arange(numpy.prod(shape), dtype=numpy.int64)
    values = ((i * 613 + len(name) * 17) % 769) / 769 - 0.5
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


def gradient(name: str, step: int) -> torch.Tensor:
    shape = SHAPES[name]
    i = numpy.arange(numpy.prod(shape), dtype=numpy.int64)
    size = numpy.array([0.1, 1.0, 3.0])[i % 3]
    values = (((i * 7919 + step * 104729 + len(name) * 31) % 1009) / 1009 - 0.5) * size
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


def rate(step: int) -> float:
    return 0.02 * (1 - step / 20)


Make = Callable[[dict[str, torch.nn.Parameter]], list[torch.optim.Optimizer]]


def record(case: str, names: str, make: Make, clip: float | None = None, factor: float = 1, last: Callable | None = None) -> None:
    parameters = {name: torch.nn.Parameter(initial(name)) for name in names.split()}
    optimizers = make(parameters)
    kept: dict[str, torch.Tensor] = {}
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = gradient(name, step)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate(step) * factor * group.get("factor", 1)
            optimizer.step()
        if last is not None and step == STEPS - 1:
            for optimizer in optimizers:
                last(optimizer)
        if step in (0, STEPS - 1):
            kept |= {f"{step + 1} {name}": p.detach().clone() for name, p in parameters.items()}
    path = DATA / "optimizers" / f"{case}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, metadata={"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__})


def matrices_decay(optimizer: Callable[..., torch.optim.Optimizer], decay: float, **options: object) -> Make:
    """Weight decay for tensors of two or more axes alone."""

    def make(parameters: dict[str, torch.nn.Parameter]) -> list[torch.optim.Optimizer]:
        groups = [
            {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": decay},
            {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return [optimizer([g for g in groups if g["params"]], lr=1e-3, **options)]

    return make


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2: https://arxiv.org/abs/2302.06675"""

    def __init__(self, params: object, lr: float, beta1: float, beta2: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].get("m", torch.zeros_like(p))
                c = group["beta1"] * m + (1 - group["beta1"]) * p.grad
                p -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p)
                self.state[p]["m"] = group["beta2"] * m + (1 - group["beta2"]) * p.grad


def hinted(parameters: dict[str, torch.nn.Parameter]) -> list[torch.optim.Optimizer]:
    """LoRA+ for one, no decay for another, decay for a vector."""
    return [
        torch.optim.AdamW(
            [
                {"params": [parameters["matrix"]], "factor": 16, "weight_decay": 0.1},
                {"params": [parameters["tall"]], "weight_decay": 0.0},
                {"params": [parameters["vector"]], "weight_decay": 0.1},
            ],
            lr=1e-3,
        )
    ]


def muon(**options: object) -> Make:
    def make(parameters: dict[str, torch.nn.Parameter]) -> list[torch.optim.Optimizer]:
        matrices = [p for p in parameters.values() if p.dim() == 2]
        rest = [p for p in parameters.values() if p.dim() != 2]
        return [
            torch.optim.Muon(matrices, lr=1e-3, **options),
            torch.optim.AdamW(rest, lr=1e-3, weight_decay=0.0),
        ]

    return make


SMALL = "matrix tall vector"
record("adamw", SMALL, matrices_decay(torch.optim.AdamW, 0.1))
record("adamw-clip", SMALL, matrices_decay(torch.optim.AdamW, 0.0, betas=(0.8, 0.95), eps=1e-6), clip=1.0)
record("adamw-hints", SMALL, hinted)
record("sgd", SMALL, matrices_decay(torch.optim.SGD, 0.1))
record("sgd-momentum", SMALL, matrices_decay(torch.optim.SGD, 0.1, momentum=0.9), clip=1.0)
record("sgd-nesterov", SMALL, matrices_decay(torch.optim.SGD, 0.1, momentum=0.9, nesterov=True))
record("lion", SMALL, matrices_decay(Lion, 0.1, beta1=0.9, beta2=0.99))
record("adafactor", f"{SMALL} cube", matrices_decay(torch.optim.Adafactor, 0.1))
record("adafactor-others", f"{SMALL} cube", matrices_decay(torch.optim.Adafactor, 0.0, beta2_decay=-0.5, eps=(1e-3, 0.5), d=1.2))

record("muon-bf16", SMALL, muon(weight_decay=0.1))
# The same function in f32: torch rounds the iteration to bf16, for speed on GPUs.
exec(
    inspect.getsource(torch_muon._zeropower_via_newtonschulz).replace("torch.bfloat16", "torch.float32"),
    torch_muon.__dict__,
)
record("muon", SMALL, muon(weight_decay=0.1))
record("muon-adamw", SMALL, muon(weight_decay=0.0, momentum=0.8, nesterov=False, adjust_lr_fn="match_rms_adamw"))
record("muon-spectral", SMALL, muon(weight_decay=0.0, ns_steps=3, adjust_lr_fn="spectral_unclamped"))


class GaLore(torch.optim.Optimizer):
    """Zhao et al. 2024, algorithm 2, with the choices of https://github.com/jiaweizzhao/GaLore (`proj_type="std"`), but for the signs of
    singular vectors, which are LAPACK's there: the entry of the largest magnitude is positive here."""

    def __init__(self, params: object, lr: float, rank: int, every: int, scale: float, beta1: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "rank": rank, "every": every, "scale": scale, "beta1": beta1, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state, g = self.state[p], p.grad
                t = state.setdefault("t", 0)
                tall = p.dim() == 2 and p.shape[0] >= p.shape[1]
                if p.dim() == 2:
                    if t % group["every"] == 0:
                        u, _, vh = torch.linalg.svd(g, full_matrices=False)
                        q = (vh if tall else u.T)[: group["rank"]]
                        largest = q.gather(1, q.abs().argmax(1, keepdim=True))
                        state["q"] = q * largest.sign()
                    g = g @ state["q"].T if tall else state["q"] @ g
                m = state["m"] = group["beta1"] * state.get("m", 0) + (1 - group["beta1"]) * g
                v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
                state["t"] = t = t + 1
                n = m / (v.sqrt() + 1e-6)
                if p.dim() == 2:
                    n = group["scale"] * (n @ state["q"] if tall else state["q"].T @ n)
                p -= group["lr"] * (1 - 0.999**t) ** 0.5 / (1 - group["beta1"] ** t) * n
                p -= group["lr"] * group["weight_decay"] * p




class ScheduleFree(schedulefree.AdamWScheduleFree):
    """Steps in train mode, in which parameters are y."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.train()


record("schedule-free", SMALL, matrices_decay(ScheduleFree, 0.1))
record("schedule-free-others", SMALL, matrices_decay(ScheduleFree, 0.0, betas=(0.8, 0.95), eps=1e-6, r=1.0, weight_lr_power=1.0), clip=1.0)
record("schedule-free-average", SMALL, matrices_decay(ScheduleFree, 0.1), last=lambda optimizer: optimizer.eval())

record("prodigy", SMALL, matrices_decay(prodigyopt.Prodigy, 0.1, d0=1e-3), factor=50)
record("prodigy-others", SMALL, matrices_decay(prodigyopt.Prodigy, 0.0, d0=1e-2, d_coef=2.0, growth_rate=1.1, use_bias_correction=True, safeguard_warmup=True, betas=(0.8, 0.95), eps=1e-6), clip=1.0, factor=50)

record("galore", f"{SMALL} large", matrices_decay(GaLore, 0.1, rank=2, every=4, scale=0.25))
record("galore-whole", f"{SMALL} cube", matrices_decay(GaLore, 0.0, rank=9, every=200, scale=1.0, beta1=0.8), clip=1.0)

record("adamw8bit-cpu", "large vector", matrices_decay(bitsandbytes.optim.AdamW8bit, 0.1))


def nearest(values: torch.Tensor, code: torch.Tensor, absmax: torch.Tensor, out: torch.Tensor, blocksize: int) -> None:
    """bitsandbytes' own search for the nearest level, which it takes for other dtypes; for f32 its CPU code looks up one of
    65,536 steps, so that small values get another level there than on CUDA."""
    codes, scales = torch.ops.bitsandbytes.quantize_blockwise(values.double(), code, blocksize)
    out.copy_(codes)
    absmax.copy_(scales)


bnb_cpu._quant_blockwise_fp32_direct = nearest
record("adamw8bit", "large vector", matrices_decay(bitsandbytes.optim.AdamW8bit, 0.1))
