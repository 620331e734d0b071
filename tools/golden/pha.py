"""PHA's network and its retriever, for goldens on decoders and on an encoder with a decoder: all rows of a batch are of task 1.

Zhao, Fu & He, 2023. https://arxiv.org/abs/2310.11670, https://github.com/Bumble666/PHA
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

TASK = 1
OPTIONS = dict(
    num_tasks=3,
    adapter_dim=2,
    task_embedding_dim=3,
    projected_task_embedding_dim=4,
    hypernetwork_bottleneck=5,
    contrast_weight=0.3,
    contrast_temperature=0.5,
)


class PhaNetwork:
    """`make` makes a trained tensor by its name, `read` is the width of the states that the retriever reads."""

    def __init__(
        self,
        make: Callable[[str, torch.Tensor], nn.Parameter],
        width: int,
        layers: int,
        read: int,
        num_tasks: int,
        adapter_dim: int,
        task_embedding_dim: int,
        projected_task_embedding_dim: int,
        hypernetwork_bottleneck: int,
        contrast_weight: float,
        contrast_temperature: float,
    ) -> None:
        d, r, e, p, h = width, adapter_dim, task_embedding_dim, projected_task_embedding_dim, hypernetwork_bottleneck
        self.d, self.r, self.weight, self.temperature = d, r, contrast_weight, contrast_temperature
        self.prototypes = make("adapter_task_embedding.weight", torch.randn(num_tasks, e))
        self.layers = make("param_gen.layer_embed.weight", torch.randn(layers, e))
        self.norm = [make("param_gen.LayerNorm.weight", torch.ones(p)), make("param_gen.LayerNorm.bias", torch.zeros(p))]
        sizes = {"linear1": (2 * e, h), "linear2": (h, p), "weight_up": (p, r * d), "weight_down": (p, d * r)}
        sizes = {f"param_gen.{name}": size for name, size in (sizes | {"bias_up": (p, d), "bias_down": (p, r)}).items()}
        self.linears = {
            name: (make(f"{name}.weight", 0.3 * torch.randn(out, into)), make(f"{name}.bias", torch.zeros(out)))
            for name, (into, out) in (sizes | {"mlp.0": (read, h), "mlp.2": (h, e)}).items()
        }

    def through(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, *self.linears[name])

    def adapter(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """What is added beside the MLP that reads x."""
        inner = self.through("param_gen.linear1", torch.cat([self.prototypes[TASK], self.layers[layer]])).relu()
        v = F.layer_norm(self.through("param_gen.linear2", inner), self.norm[0].shape, *self.norm, eps=1e-6)
        down = self.through("param_gen.weight_down", v).view(self.d, self.r)
        up = self.through("param_gen.weight_up", v).view(self.r, self.d)
        inner = (x @ down + self.through("param_gen.bias_down", v)).relu()
        return inner @ up + self.through("param_gen.bias_up", v)

    def loss(self, texts: torch.Tensor) -> torch.Tensor:
        """The retriever's losses, of the mean of the states of each text [batch, read]."""
        features = F.normalize(self.through("mlp.2", self.through("mlp.0", texts).relu()), dim=1)
        others = 1 - torch.eye(len(features))
        scores = features @ features.T / self.temperature
        shares = scores - (scores.exp() * others).sum(1, keepdim=True).log()
        of_texts = -((shares * others).sum(1) / others.sum(1)).mean()
        scores = features @ F.normalize(self.prototypes, dim=1).T / self.temperature
        own = scores[:, TASK]
        of_prototypes = -(own - (scores.exp().sum(1) - own.exp()).log()).mean()
        return self.weight * (of_texts + of_prototypes)
