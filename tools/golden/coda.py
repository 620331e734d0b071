"""CoDA on encoders, for goldens: every layer runs over all rows, and those that were chosen are taken of what it gives.

Lei et al., 2023. https://arxiv.org/abs/2304.04947, its soft top k by turns as in the paper's appendix and https://github.com/lucidrains/CoLT5-attention.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

Make = Callable[[str, torch.Tensor], nn.Parameter]


def soft_top_k(s: torch.Tensor, k: int, epsilon: float) -> torch.Tensor:
    """The weights of scores [n] that sum to k."""
    now, b = max(4.0, epsilon), -s
    for _ in range(20):
        a = now * (math.log(k) - ((s + b) / now).logsumexp(0))
        b = -torch.relu(s + a)
        now = max(now * 0.7, epsilon)
    return ((s + a + b) / now).exp()


class Conditional(nn.Module):
    def __init__(self, layer: nn.Module, norm: nn.Module | None, make: Make, path: str, width: int, seen: dict, options: dict) -> None:
        super().__init__()
        self.layer, self.norm, self.seen, self.options = layer, norm, seen, options
        r = options["bottleneck"]
        self.router = make(f"{path}.router", torch.randn(width) / math.sqrt(width))
        self.down = make(f"{path}.adapter_down.weight", torch.randn(r, width) * 0.3), make(f"{path}.adapter_down.bias", torch.zeros(r))
        self.up = make(f"{path}.adapter_up.weight", torch.zeros(width, r)), make(f"{path}.adapter_up.bias", torch.zeros(width))

    def over(self, x: torch.Tensor, keys: list[torch.Tensor], rest: tuple, named: dict) -> torch.Tensor:
        """The layer over all rows, where each text sees some keys alone."""
        hidden = torch.full((len(x), 1, 1, x.shape[1]), -torch.inf)
        for i, rows in enumerate(keys):
            hidden[i, ..., rows] = 0
        out = self.layer(x, hidden, *rest[1:], **{name: of for name, of in named.items() if name != "attention_mask"})
        return out[0] if isinstance(out, tuple) else out

    def forward(self, x: torch.Tensor, *rest: object, **named: object) -> object:
        u = x if self.norm is None else self.norm(x)
        mask = self.seen.get("mask")
        tokens = [torch.arange(x.shape[1]) if mask is None else mask[i].nonzero()[:, 0] for i in range(len(x))]
        rows, weights = [], []
        for u_i, own in zip(u, tokens, strict=True):
            s = u_i[own] @ self.router
            k = math.ceil(len(own) / self.options["routing_ratio"])
            chosen = s.sort(descending=True, stable=True).indices[:k]  # of equal scores the earlier
            rows.append(own[chosen])
            weights.append(soft_top_k(s, k, self.options["routing_epsilon"])[chosen])
        full = self.seen["call"](self, x, rest, named) if "call" in self.seen else None
        out = full if full is not None else self.over(x, rows if self.options["routing_keys"] == "chosen" else tokens, rest, named)
        y = x + torch.relu(u @ self.down[0].T + self.down[1]) @ self.up[0].T + self.up[1]
        h = out[0] if isinstance(out, tuple) else out
        y = torch.stack([y_i.index_add(0, at, w[:, None] * (h_i - x_i)[at]) for y_i, x_i, h_i, at, w in zip(y, x, h, rows, weights, strict=True)])
        return (y, *out[1:]) if isinstance(out, tuple) else y


def coda(model: nn.Module, make: Make, **options: object) -> None:
    """On a BERT, and the encoder of a T5, whose layers hand on a bias of places: there keys are those of all tokens."""
    seen: dict = {}

    def remember(_module: nn.Module, _inputs: tuple, named: dict) -> None:
        seen["mask"] = named.get("attention_mask")

    model.register_forward_pre_hook(remember, with_kwargs=True)
    if hasattr(model, "encoder"):
        assert options["routing_keys"] == "all"
        seen["call"] = lambda of, x, rest, named: of.layer(x, *rest, **named)
        path, norm = "encoder.block", lambda layer: layer.layer[0].layer_norm
    else:
        path, norm = "bert.encoder.layer", lambda layer: None
    layers = model.get_submodule(path)
    width = getattr(model.config, "hidden_size", None) or model.config.d_model
    for i, layer in enumerate(layers):
        layers[i] = Conditional(layer, norm(layer), make, f"{path}.{i}.coda", width, seen, options)
