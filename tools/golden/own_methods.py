"""Methods that no library has, written here in PyTorch from the papers and their authors' code: goldens of them, in data/python.

A layer is `Changed`: the frozen linear layer and the method's own tensors, by the names that our files have for them. Adapters are written as we
write them, with a type of our own.

Usage: python own_methods.py [NAME ...], where a name is plain-moslora; all without one.
"""

import copy
import inspect
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from peft import AdamssConfig
from peft.tuners.adamss.layer import Linear as AdamssLinear
from peft.tuners.psoft.layer import OrthLayer
from torch import nn
from transformers import LlamaConfig, LlamaModel
from transformers.pytorch_utils import Conv1D

from common import LEARNING_RATE, OUT, record, save_tensors, shake, write_json
from models import load_model

QUERY_AND_VALUE = {"plain": r".*\.(q_proj|v_proj)", "gpt2": r".*\.c_attn"}
MLP_LAYERS = {"plain": r".*\.(gate_proj|up_proj|down_proj)", "gpt2": r".*\.mlp\.(c_fc|c_proj)"}
LAYERS = {"plain": r"model\.layers\.\d+", "gpt2": r"transformer\.h\.\d+"}
MLP = {"plain": r".*\.mlp", "gpt2": r".*\.mlp"}


class Changed(nn.Module):
    """A linear layer, y = Wx + b, with W of shape [out, in] whatever transformers holds, and tensors of a method."""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__()
        transposed = isinstance(base, Conv1D)
        weight = base.weight.detach()
        self.weight = nn.Parameter(weight.T.contiguous() if transposed else weight, requires_grad=False)
        self.bias = None if base.bias is None else nn.Parameter(base.bias.detach(), requires_grad=False)
        self.out_dim, self.in_dim = self.weight.shape
        self.begin(**options)

    def own(self, name: str, tensor: torch.Tensor) -> None:
        self.register_parameter(name, nn.Parameter(tensor))

    def fixed(self, name: str, tensor: torch.Tensor) -> None:
        """A tensor of the file that is not trained."""
        self.register_buffer(name, tensor)

    def ready(self) -> None:
        """Makes further tensors, once those of `begin` were moved off their first values."""

    def begin(self, **options: object) -> None:
        """Makes the method's tensors, with their first values."""
        raise NotImplementedError

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        """What the method adds to Wx + b."""
        raise NotImplementedError

    def after_step(self, step: int, rate: float) -> None:
        """What the method does to its tensors after a step of the optimiser, counted from 0."""

    @classmethod
    def after_all(cls, layers: list["Changed"], step: int, rate: float) -> None:
        """The same, for all layers together."""
        for layer in layers:
            layer.after_step(step, rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight, self.bias) + self.delta(x)


def kaiming(rows: int, columns: int) -> torch.Tensor:
    return nn.init.kaiming_uniform_(torch.empty(rows, columns), a=math.sqrt(5))


class MosLora(Changed):
    """Wu, Wang, Zhao & Wong, 2024. https://arxiv.org/abs/2406.11909, https://github.com/wutaiqiang/MoSLoRA"""

    def begin(self, r: int, lora_alpha: float) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_AB", kaiming(r, r))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale = lora_alpha / r

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.lora_A.T @ self.lora_AB.T @ self.lora_B.T * self.scale


class HydraLora(Changed):
    """Tian, Shi, Guo, Li & Xu, 2024. https://arxiv.org/abs/2404.19245, https://github.com/Clin0212/HydraLoRA"""

    def begin(self, r: int, lora_alpha: float, lora_nums: int) -> None:
        self.own("lora_route", kaiming(lora_nums, self.in_dim))
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, lora_nums * r))
        self.scale = lora_alpha / r
        self.heads = lora_nums

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        weights = (x @ self.lora_route.T).softmax(-1)
        heads = self.lora_B.chunk(self.heads, dim=1)
        return sum(weights[..., i, None] * (x @ self.lora_A.T @ b.T) for i, b in enumerate(heads)) * self.scale


class Bone(Changed):
    """Kang & Yin, 2024. https://arxiv.org/abs/2409.15371, as Hugging Face PEFT 0.15 has it under this name; later versions don't read its files."""

    def begin(self, r: int, init_weights: bool | str, bias: str) -> None:
        self.bat = init_weights == "bat"
        self.own("bone_block", torch.zeros(self.out_dim // r, r, r) if self.bat else torch.zeros(r, self.out_dim))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        r = self.bone_block.shape[-1 if self.bat else 0]
        if self.bat:
            blocks = self.weight.reshape(self.out_dim // r, r, self.in_dim // r, r).permute(2, 0, 1, 3)
            update = blocks @ self.bone_block + self.bone_block
            return x @ update.permute(1, 2, 0, 3).reshape(self.weight.shape).T
        padded = nn.functional.pad(x, (0, -self.in_dim % r))
        return padded.unflatten(-1, (-1, r)).sum(-2) @ self.bone_block


class Psoft(Changed):
    """Wu, Hu, Min & Wang, 2026. https://arxiv.org/abs/2505.11235: the layer in the middle is Hugging Face PEFT's."""

    def begin(self, r: int, factors: str, psoft_orth: bool, num_cayley_neumann_terms: int, cayley_neumann_eps: float) -> None:
        terms, eps = num_cayley_neumann_terms, cayley_neumann_eps or None
        self.psoft_R = OrthLayer(r, orth=psoft_orth, use_cayley_neumann=terms > 0, num_cayley_neumann_terms=terms, cayley_neumann_eps=eps)
        self.psoft_R.reset_parameters()
        u, s, v = (t[..., :r] for t in torch.svd(self.weight.detach()))
        left, right = (s, torch.ones_like(s)) if factors == "principal" else (s.sqrt(), s.sqrt())
        self.fixed("psoft_B", u * left)
        self.fixed("psoft_A", (v * right).T)

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        low = x @ self.psoft_A.T
        return (self.psoft_R(low) - low) @ self.psoft_B.T


class KronA(Changed):
    """Edalati et al., 2022. https://arxiv.org/abs/2212.10650"""

    def begin(self, rows: int, columns: int, scale: float) -> None:
        self.own("krona_A", kaiming(rows, columns))
        self.own("krona_B", torch.zeros(self.out_dim // rows, self.in_dim // columns))
        self.scale = scale

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x @ torch.kron(self.krona_A, self.krona_B).T


class KAdaptation(Changed):
    """He et al., 2022. https://arxiv.org/abs/2203.16329, https://github.com/eric-ai-lab/PEViT"""

    def begin(self, phm_dim: int, phm_rank: int, scale: float) -> None:
        self.n, self.scale = phm_dim, scale
        self.own("phm_left", torch.randn(phm_dim, self.in_dim // phm_dim, phm_rank) * 0.3)
        self.own("phm_right", torch.zeros(phm_dim, phm_rank, self.out_dim // phm_dim))

    @classmethod
    def share(cls, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, cls)]
        n = layers[0].n
        model.phm_rule_left = nn.Parameter(torch.rand(n, n, 1) * 0.02 - 0.01)
        model.phm_rule_right = nn.Parameter(torch.rand(n, 1, n) * 0.02 - 0.01)
        for layer in layers:
            layer.rule = [model.phm_rule_left, model.phm_rule_right]

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        rule, second = torch.bmm(*self.rule), torch.bmm(self.phm_left, self.phm_right)
        return self.scale * x @ sum(torch.kron(a, b) for a, b in zip(rule, second))


class Hiwi(Changed):
    """Liao, Meng & Monz, 2023. https://arxiv.org/abs/2305.16742"""

    def begin(self, r: int, weights: bool, biases: bool) -> None:
        assert weights and biases
        for name in ["hiwi"] + ([] if self.bias is None else ["hiwi_bias"]):
            self.own(f"{name}_down", torch.randn(self.out_dim, r) / math.sqrt(self.out_dim))
            self.own(f"{name}_up", torch.zeros(r, self.out_dim))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.T + (self.weight.T @ self.hiwi_down).relu() @ self.hiwi_up
        y = x @ weight - x @ self.weight.T
        return y if self.bias is None else y + (self.bias @ self.hiwi_bias_down).relu() @ self.hiwi_bias_up


class KronABeside(nn.Module):
    """KronA_B^res, beside an MLP. Edalati et al., 2022. https://arxiv.org/abs/2212.10650"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__()
        self.base = base
        d = next(p.shape[0] for n, p in base.named_parameters() if n in ("down_proj.weight", "c_fc.weight"))
        rows, columns = options["rows"], options["columns"]
        self.krona_A = nn.Parameter(kaiming(rows, columns))
        self.krona_B = nn.Parameter(torch.zeros(d // rows, d // columns))
        self.krona_residual = nn.Parameter(torch.ones(1))
        self.scale = options["scale"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = x @ torch.kron(self.krona_A, self.krona_B).T
        return self.base(x) + self.scale * product + self.krona_residual * x


class AroundLayer(nn.Module):
    """A whole layer of a model, and tensors of a method."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.d = next(m.out_features if isinstance(m, nn.Linear) else m.nf for n, m in base.named_modules() if n.endswith(("o_proj", "attn.c_proj")))

    def after(self, x: torch.Tensor) -> torch.Tensor:
        """What the method makes of the layer's output."""
        return x

    def forward(self, *inputs: object, **named: object) -> object:
        out = self.base(*inputs, **named)
        return (self.after(out[0]), *out[1:]) if isinstance(out, tuple) else self.after(out)

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:  # what the model asks its layers for
            return getattr(super().__getattr__("base"), name)


class ResidualAdapter(AroundLayer):
    """After a layer. Lin, Madotto & Fung, 2020. https://arxiv.org/abs/2004.03829, https://github.com/zlinao/VGLM"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__(base)
        d, r = self.d, options["bottleneck"]
        self.adapter_block = nn.ModuleDict(
            {"ln": nn.LayerNorm(d), "project_down": nn.Linear(d, r), "project_up": nn.Linear(r, d)}
        )

    def after(self, x: torch.Tensor) -> torch.Tensor:
        own = self.adapter_block
        return x + own.project_up(torch.relu(own.project_down(own.ln(x))))


class Ciat(AroundLayer):
    """Zhu et al., 2021. https://arxiv.org/abs/2104.08154, https://github.com/bytedance/neurst"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__(base)

        def adapter(r: int) -> nn.ModuleDict:
            return nn.ModuleDict({"inner": nn.Linear(self.d, r), "outer": nn.Linear(r, self.d)})

        def added(own: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
            return own["outer"](torch.relu(own["inner"](x)))

        self.attn_adapter, self.mlp_adapter = (adapter(options["layer_adapter_dim"]) for _ in range(2))
        attention, mlp = base.self_attn if hasattr(base, "self_attn") else base.attn, base.mlp
        given = lambda inputs, named: inputs[0] if inputs else named["hidden_states"]
        attention.register_forward_hook(
            lambda module, inputs, named, out: (out[0] + added(self.attn_adapter, given(inputs, named)), *out[1:]),
            with_kwargs=True,
        )
        mlp.register_forward_hook(lambda module, inputs, out: out + added(self.mlp_adapter, inputs[0]))
        if attention.layer_idx == 0:
            self.emb_adapter = adapter(options["emb_adapter_dim"])
            self.emb_adapter["norm"] = nn.LayerNorm(self.d, eps=1e-6)

    def forward(self, *inputs: object, **named: object) -> object:
        x, *rest = inputs
        if hasattr(self, "emb_adapter"):
            own = self.emb_adapter
            x = x + own["outer"](torch.relu(own["inner"](own["norm"](x))))
        return super().forward(x, *rest, **named)


class SparseAdapter(AroundLayer):
    """After the MLP. He, Ding, Dong, Zhang & Tao, 2022. https://arxiv.org/abs/2210.04284, https://github.com/Shwai-He/SparseAdapter"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__(base)
        r = self.d // options["reduction_factor"]
        own = nn.ModuleDict({"adapter_down": nn.ModuleList([nn.Linear(self.d, r)]), "adapter_up": nn.Linear(r, self.d)})
        for layer in (own["adapter_down"][0], own["adapter_up"]):
            weight = layer.weight.detach()
            index = torch.randperm(weight.numel())[: int((1 - options["sparsity"]) * weight.numel())].sort().values
            del layer.weight
            layer.sparse_values = nn.Parameter(weight.flatten()[index])
            layer.register_buffer("sparse_index", index.int())
            layer.matrix = weight.shape
        self.output_adapters = nn.ModuleDict({"adapters": nn.ModuleDict({"default": own})})
        base.mlp.register_forward_hook(lambda module, inputs, y: y + self.adapted(own, y))

    @staticmethod
    def product(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        weight = torch.zeros(layer.matrix.numel()).scatter(0, layer.sparse_index.long(), layer.sparse_values)
        return nn.functional.linear(x, weight.reshape(layer.matrix), layer.bias)

    def adapted(self, own: nn.ModuleDict, y: torch.Tensor) -> torch.Tensor:
        return self.product(own["adapter_up"], torch.relu(self.product(own["adapter_down"][0], y)))

    @staticmethod
    def fields(held: dict[str, torch.Tensor]) -> dict:
        """What else the configuration says of the tensors."""
        places = {n.removeprefix("base_model.model."): len(t) for n, t in held.items() if n.endswith(".sparse_index")}
        return {"entries": {n.removesuffix(".sparse_index"): count for n, count in places.items()}}


class TinyAttention(AroundLayer):
    """After the attention. Zhao, Tan & Mei, 2022. https://arxiv.org/abs/2211.01979"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__(base)
        e = options["heads"] * options["head_dim"]
        own = {
            "norm": nn.LayerNorm(self.d),
            "linear1": nn.Linear(self.d, 3 * e),
            "attention": nn.MultiheadAttention(e, options["heads"], batch_first=True),
            "linear2": nn.Linear(e, self.d),
        }
        self.tiny_attn = nn.ModuleDict(own)
        self.kept = None
        # A bias of all keys changes nothing: its gradient is rounding.
        for bias in (own["linear1"].bias, own["attention"].in_proj_bias):
            bias.register_hook(lambda g: torch.cat((g[:e], torch.zeros(e), g[2 * e :])))
        attention = base.self_attn if hasattr(base, "self_attn") else base.attn
        first = base.input_layernorm if hasattr(base, "input_layernorm") else base.ln_1
        first.register_forward_pre_hook(lambda module, inputs: setattr(self, "stream", inputs[0]))
        attention.register_forward_hook(self.after_attention)

    def after_attention(self, module: nn.Module, inputs: tuple, out: tuple) -> tuple:
        h, own = out[0] + self.stream, self.tiny_attn
        if self.kept is not None and h.shape[1] == 1:
            self.kept = torch.cat((self.kept, h), 1)
        else:
            self.kept = h
        q, k, v = own["linear1"](own["norm"](self.kept)).chunk(3, -1)
        rows = q.shape[1]
        tiny, _ = own["attention"](q, k, v, attn_mask=torch.ones(rows, rows).triu(1).bool(), need_weights=False)
        return (out[0] + own["linear2"](tiny)[:, -h.shape[1] :], *out[1:])


class HadamardAdapter(Changed):
    """At the attention's last layer. Chen et al., 2023. https://arxiv.org/abs/2407.11033"""

    def begin(self, norms: bool) -> None:
        self.own("hadamard_weight", torch.ones(self.out_dim))
        self.own("hadamard_bias", torch.zeros(self.out_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hadamard_weight * nn.functional.linear(x, self.weight, self.bias) + self.hadamard_bias


class LlamaAdapterV2(Changed):
    """Gao et al., 2023. https://arxiv.org/abs/2304.15010, https://github.com/OpenGVLab/LLaMA-Adapter"""

    def begin(self, train_norm: bool) -> None:
        self.own("added_scale", torch.ones(self.in_dim))
        self.own("added_bias", torch.zeros(self.out_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x * self.added_scale, self.weight, self.bias) + self.added_bias


class LlmAdapter(nn.Module):
    """Hu et al., 2023. https://arxiv.org/abs/2304.01933, https://github.com/AGI-Edgerunners/LLM-Adapters"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__()
        out_dim, in_dim = base.weight.shape if isinstance(base, nn.Linear) else base.weight.T.shape
        # In the tiny models the last layer of an MLP alone has fewer outputs than inputs.
        self.behind = not options["use_parallel_adapter"] and out_dim < in_dim
        self.before = not options["use_parallel_adapter"] and not self.behind
        self.base = base
        r = options["bottleneck_size"]
        self.adapter_down = nn.Linear(out_dim if self.behind else in_dim, r, bias=False)
        self.adapter_up = nn.Linear(r, in_dim if self.before else out_dim, bias=False)
        learned = options["scaling"] == "learned"
        self.adapter_scaling = nn.Parameter(torch.ones(1)) if learned else options["scaling"]
        self.act = {"tanh": torch.tanh, "relu": torch.relu}[options["non_linearity"]]

    def adapted(self, x: torch.Tensor) -> torch.Tensor:
        return self.adapter_up(self.act(self.adapter_down(x))) * self.adapter_scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.before:
            return self.base(x + self.adapted(x))
        y = self.base(x)
        return y + self.adapted(y if self.behind else x)


def hadamard(x: torch.Tensor) -> torch.Tensor:
    """H x for a vector of 2^k values, by butterflies, unnormalised."""
    y, half = x, x.numel() // 2
    while half >= 1:
        a, b = y.view(-1, 2, half).unbind(1)
        y = torch.stack([a + b, a - b], 1).reshape(-1)
        half //= 2
    return y


class Said(Changed):
    """Aghajanyan, Zettlemoyer & Gupta, 2020. https://arxiv.org/abs/2012.13255, seq2seq/projections/intrinsic.py of
    https://github.com/rabeehk/compacter"""

    def begin(self, intrinsic_dim: int, intrinsic_said: bool, save_projection: bool) -> None:
        self.size = self.out_dim * self.in_dim
        self.length = 2 ** math.ceil(math.log2(self.size))
        order = torch.randperm(self.length)
        self.order, self.dimension = order, intrinsic_dim
        self.fixed("said_B", torch.randint(0, 2, (self.length,)) * 2.0 - 1)
        self.fixed("said_P", torch.stack([order // 4096, order % 4096]).float())
        self.fixed("said_G", torch.randn(self.length))
        self.own("said_lambda", torch.ones(1))

    @classmethod
    def share(cls, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, cls)]
        model.said_theta = nn.Parameter(torch.zeros(layers[0].dimension))
        for layer in layers:
            layer.theta = [model.said_theta]

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        [theta] = self.theta
        padded = nn.functional.pad(theta, (0, self.length - theta.numel()))
        mixed = hadamard(hadamard(padded * self.said_B)[self.order] * self.said_G)
        divisor = torch.sqrt(self.length * self.said_G.square().sum()) * math.sqrt(self.size / self.length)
        return x @ (self.said_lambda * mixed[: self.size] / divisor).view(self.out_dim, self.in_dim).T


class Adamss(Changed):
    """Zheng et al., 2025. https://openreview.net/forum?id=8ZdWmpYxT0: decomposition, clusters, first values and importance are Hugging Face PEFT's, whose layer must
    compute the same. Its files don't say which outputs a cluster has."""

    def begin(self, r: int, num_subspaces: int, subspace_rank: int, asa_target_subspaces: int, init_warmup: int, final_warmup: int, mask_interval: int) -> None:
        asa = dict(init_warmup=init_warmup, final_warmup=final_warmup, mask_interval=mask_interval)
        config = AdamssConfig(r=r, num_subspaces=num_subspaces, subspace_rank=subspace_rank, use_asa=True, **asa)
        base = nn.Linear(self.in_dim, self.out_dim, bias=self.bias is not None)
        base.weight, base.bias = self.weight, self.bias
        layer = AdamssLinear(base, "default", r, config)
        self.peft = [layer]  # in a list, so that it is no module of the model
        self.plan, self.open = (asa_target_subspaces, init_warmup, final_warmup, mask_interval), [True] * num_subspaces
        self.outputs = [layer.seg_result["default"][k] for k in range(num_subspaces)]
        clusters = torch.zeros(self.out_dim, dtype=torch.int32)
        a = torch.zeros(num_subspaces, subspace_rank, layer.adamss_newB["default"].shape[0])
        for k, outputs in enumerate(self.outputs):
            clusters[outputs] = k
            first = layer.adamss_A["default"][k].detach()
            a[k, : len(first)] = first
        v = layer.adamss_newB["default"]
        self.fixed("adamss_newB", v[:, : self.in_dim])
        if self.bias is not None:
            self.fixed("adamss_newB_bias", v[:, -1])
        self.fixed("adamss_clusters", clusters)
        self.own("adamss_A", a.flatten(0, 1))
        self.own("adamss_B", torch.zeros(self.out_dim, subspace_rank))

    def parts(self, a: torch.Tensor, b: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """A and B of each subspace, as PEFT has them."""
        rank = b.shape[1]
        ranks = [len(p) for p in self.peft[0].adamss_A["default"]]
        return [(a[k * rank : k * rank + n], b[outputs, :n]) for k, (outputs, n) in enumerate(zip(self.outputs, ranks))]

    @torch.no_grad()
    def ready(self) -> None:
        rank = self.adamss_B.shape[1]
        for k, (outputs, theirs) in enumerate(zip(self.outputs, self.peft[0].adamss_A["default"])):
            self.adamss_A[k * rank + len(theirs) : (k + 1) * rank] = 0
            self.adamss_B[outputs, len(theirs) :] = 0
        self.tell_peft()
        x = torch.randn(5, self.in_dim)
        torch.testing.assert_close(self(x), self.peft[0](x))

    def tell_peft(self) -> None:
        layer = self.peft[0]
        for k, (a, b) in enumerate(self.parts(self.adamss_A, self.adamss_B)):
            layer.adamss_A["default"][k].data, layer.adamss_B["default"][k].data = a.detach().clone(), b.detach().clone()

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = [self.adamss_A.detach().clone(), self.adamss_B.detach().clone()]
        seen = x @ self.adamss_newB.T
        if self.bias is not None:
            seen = seen + self.adamss_newB_bias
        rank = self.adamss_B.shape[1]
        low = (seen @ self.adamss_A.T).unflatten(-1, (-1, rank))[..., self.adamss_clusters.long(), :]
        return (low * self.adamss_B).sum(-1)

    @classmethod
    @torch.no_grad()
    def after_all(cls, layers: list["Adamss"], step: int, rate: float) -> None:
        wanted, first, last, every = layers[0].plan
        scores = {}
        for layer in layers:
            peft = layer.peft[0]
            rank = layer.adamss_B.shape[1]
            for k, outputs in enumerate(layer.outputs):
                if not layer.open[k]:
                    layer.adamss_A[k * rank : (k + 1) * rank] = layer.before[0][k * rank : (k + 1) * rank]
                    layer.adamss_B[outputs] = layer.before[1][outputs]
            layer.tell_peft()
            for k, (a, b) in enumerate(layer.parts(layer.adamss_A.grad, layer.adamss_B.grad)):
                pair = peft.adamss_A["default"][k], peft.adamss_B["default"][k]
                pair[0].grad, pair[1].grad = (a.clone(), b.clone()) if layer.open[k] else (None, None)
            peft.update_importance("default")
            for k, is_open in enumerate(layer.open):
                if is_open:
                    both = [(peft.exp_avg_ipt_A, peft.exp_avg_unc_A), (peft.exp_avg_ipt_B, peft.exp_avg_unc_B)]
                    scores[layer, k] = sum((i["default"][k] * u["default"][k]).mean() for i, u in both).item()
        if not first <= step <= last or step % every:
            return
        total = sum(len(layer.open) for layer in layers)
        left = 1 - (step - first) / (last - first)
        for layer, k in sorted(scores, key=scores.get, reverse=True)[int(wanted + (total - wanted) * left**3) :]:
            layer.open[k] = False
        for layer in layers:
            layer.peft[0].reset_importance("default")


class LorTa(Changed):
    """Hounie, Kanatsoulis, Tandon & Ribeiro, 2024. https://arxiv.org/abs/2410.04060, peft/tuners/lorta of the authors' fork of Hugging Face PEFT"""

    def begin(self, r: int, lora_alpha: float) -> None:
        self.rank, self.scale = r, lora_alpha / r

    @classmethod
    def share(cls, model: nn.Module) -> None:
        layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, cls)]
        config, r = model.config, layers[0][1].rank
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        shapes = {"A": (config.hidden_size, r), "B": (r, width), "C_h": (heads, r), "C_l": (config.num_hidden_layers, r), "C_m": (4, r)}
        for name, shape in shapes.items():
            setattr(model, f"lora_{name}", nn.Parameter(kaiming(*shape)))
        for path, layer in layers:
            name = path.rpartition(".")[2]
            layer.matrices = {"c_attn": (0, 1, 2), "q_proj": (0,), "k_proj": (1,), "v_proj": (2,)}.get(name, (3,))
            layer.number = int(re.search(r"\.(\d+)\.", path)[1])
            layer.tensor = [model]

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        [of] = self.tensor
        heads = (self.in_dim if self.matrices == (3,) else self.out_dim // len(self.matrices)) // of.lora_B.shape[1]
        update = torch.cat([
            of.lora_A @ torch.diag(of.lora_C_h[h] * of.lora_C_m[m] * of.lora_C_l[self.number]) @ of.lora_B
            for m in self.matrices for h in range(heads)
        ], dim=1)  # [d, heads · width]
        return x @ (update.T if self.matrices == (3,) else update) * self.scale


class SharedTensors(nn.Module):
    """Tensors that several layers share, some of which are not trained."""


class SuperLora(Changed):
    """Chen, Liu, Wang, Wang, Brand, Wang & Koike-Akino, 2024. https://arxiv.org/abs/2403.11887"""

    def begin(
        self, groups: int | None, order: int, splits: int, r: int, lora_alpha: float, projection_ratio: float = 1.0, shuffle: bool = False, save_projection: bool = True
    ) -> None:
        self.options = dict(groups=groups, order=order, splits=splits, r=r, ratio=projection_ratio, shuffle=shuffle)
        self.scale, self.held = lora_alpha / r, {}

    @staticmethod
    def fold(values: int, order: int) -> list[int]:
        edges = []
        for m in range(order, 0, -1):
            edges.append(math.ceil(values ** (1 / m) - 1e-9))
            values = math.ceil(values / edges[-1])
        return edges

    @staticmethod
    def split(size: int, count: int) -> list[int]:
        edges = []
        for k in range(count, 1, -1):
            edges.append(max(e for e in range(1, int(size ** (1 / k) + 1e-9) + 1) if size % e == 0))
            size //= edges[-1]
        return [*edges, size]

    @classmethod
    def share(cls, model: nn.Module) -> None:
        layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, cls)]
        sizes = [layer.weight.numel() for _, layer in layers]
        groups = layers[0][1].options["groups"]
        if groups is None:
            for _, layer in layers:
                layer.source = [cls.group(layer, layer.weight.shape, **layer.options)]
                layer.place = (0, layer.weight.numel())
            return
        each = math.ceil(sum(sizes) / groups)
        model.superlora_groups = nn.ModuleList([SharedTensors() for _ in range(math.ceil(sum(sizes) / each))])
        made = [cls.group(of, (min(each, sum(sizes) - g * each),), **layers[0][1].options) for g, of in enumerate(model.superlora_groups)]
        start = 0
        for _, layer in layers:
            layer.source, layer.place = made, (start, start + layer.weight.numel())
            start += layer.weight.numel()

    @classmethod
    def group(cls, of: nn.Module, shape: tuple, groups: int | None, order: int, splits: int, r: int, ratio: float, shuffle: bool) -> Callable:
        size = math.prod(shape)
        inner = math.ceil(ratio * size)
        if len(shape) == 1 or order > 2 or inner < size:
            edges = [cls.fold(e, splits) for e in cls.fold(inner, order)]
        else:
            edges = [cls.split(e, splits) for e in shape]
        factors_of = [{str(m): nn.Parameter(torch.randn(edges[m][k], r) / 2) for m in range(order)} for k in range(splits)]
        of.superlora_A = nn.ModuleList(map(nn.ParameterDict, factors_of))
        if order > 2:
            of.superlora_C = nn.ParameterList([0.5 * torch.randn([r] * order) for _ in range(splits)])
        length = 2 ** math.ceil(math.log2(size)) if inner < size else size
        permutes = inner < size or shuffle
        if permutes:
            order_ = torch.randperm(length)
            of.register_buffer("superlora_F_P", torch.stack([order_ // 4096, order_ % 4096]).float())
        if inner < size:
            of.register_buffer("superlora_F_B", torch.randint(0, 2, (length,)) * 2.0 - 1)
            of.register_buffer("superlora_F_G", torch.randn(length))

        def values() -> torch.Tensor:
            whole = None
            for k in range(splits):
                factors = [of.superlora_A[k][str(m)] for m in range(order)]
                core = of.superlora_C[k] if order > 2 else torch.eye(r)
                inner_axes, outer_axes = "abcd"[:order], "wxyz"[:order]
                terms = ",".join(o + i for o, i in zip(outer_axes, inner_axes, strict=True))
                t = torch.einsum(f"{inner_axes},{terms}->{outer_axes}", core, *factors)
                whole = t if whole is None else torch.kron(whole, t)
            flat = whole.flatten()[:inner]
            if inner < size:
                padded = nn.functional.pad(flat, (0, length - inner))
                mixed = hadamard(hadamard(padded * of.superlora_F_B)[order_] * of.superlora_F_G)
                return mixed[:size] / (of.superlora_F_G.norm() * math.sqrt(size))
            return flat[order_] if shuffle else flat

        return values

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        start, end = self.place
        update = torch.cat([values() for values in self.source])[start:end].view(self.weight.shape)
        return x @ update.T * self.scale


class TopShare(torch.autograd.Function):
    """1 where scores are among the largest, 0 elsewhere; the gradient passes as it is."""

    @staticmethod
    def forward(ctx: object, scores: torch.Tensor, keep: float) -> torch.Tensor:
        order = scores.flatten().sort().indices
        mask = torch.ones(scores.numel())
        mask[order[: int((1 - keep) * scores.numel())]] = 0
        return mask.view_as(scores)

    @staticmethod
    def backward(ctx: object, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        return g, None


class ProPetlLora(Changed):
    """Zeng, Zhang & Lu, 2023. https://arxiv.org/abs/2305.17682, https://github.com/ChaosCodes/ProPETL"""

    def begin(self, r: int, lora_alpha: float, sparsity: float, mask_rate: float) -> None:
        assert mask_rate == 1
        self.own("lora_A_mask", kaiming(r, self.in_dim))
        self.own("lora_B_mask", kaiming(self.out_dim, r))
        self.scale, self.keep, self.rank = lora_alpha / r, sparsity, r

    @classmethod
    def share(cls, model: nn.Module) -> None:
        """Makes the prototypes, one for all layers of a name and a shape."""
        prototypes = nn.ModuleDict()
        for path, layer in model.named_modules():
            if isinstance(layer, cls):
                name = f"{path.rpartition('.')[2]}_{layer.out_dim}x{layer.in_dim}"
                if name not in prototypes:
                    prototypes[name] = nn.Module()
                    prototypes[name].lora_A = nn.Parameter(kaiming(layer.rank, layer.in_dim))
                    prototypes[name].lora_B = nn.Parameter(torch.zeros(layer.out_dim, layer.rank))
                layer.prototype = [prototypes[name]]
        model.prototype = prototypes

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        [shared] = self.prototype
        a = shared.lora_A * TopShare.apply(self.lora_A_mask.abs(), self.keep)
        b = shared.lora_B * TopShare.apply(self.lora_B_mask.abs(), self.keep)
        return x @ a.T @ b.T * self.scale


class ProPetlAdapter(nn.Module):
    """Zeng, Zhang & Lu, 2023. https://arxiv.org/abs/2305.17682, https://github.com/ChaosCodes/ProPETL"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__()
        self.base = base
        self.d = next(p.shape[0] for n, p in base.named_parameters() if n in ("down_proj.weight", "c_fc.weight"))
        self.keep, r = options["sparsity"], options["bottleneck"]
        self.adapter_down_mask = nn.Parameter(kaiming(r, self.d))
        self.adapter_up_mask = nn.Parameter(kaiming(self.d, r))

    @classmethod
    def share(cls, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, cls)]
        r, d = layers[0].adapter_down_mask.shape
        model.prototype = nn.ModuleDict({"adapter_down": nn.Linear(d, r), "adapter_up": nn.Linear(r, d)})
        for layer in layers:
            layer.shared = [model.prototype]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.base(x)
        [shared] = self.shared
        down = shared["adapter_down"].weight * TopShare.apply(self.adapter_down_mask.abs(), self.keep)
        up = shared["adapter_up"].weight * TopShare.apply(self.adapter_up_mask.abs(), self.keep)
        inner = nn.functional.linear(y, down, shared["adapter_down"].bias).relu()
        return y + nn.functional.linear(inner, up, shared["adapter_up"].bias)


class DyLora(Changed):
    """Of the rank that every pass draws where the smallest is the largest. Valipour et al., 2022. https://arxiv.org/abs/2210.07558,
    https://github.com/huawei-noah/Efficient-NLP/tree/main/DyLoRA"""

    def begin(self, r: int, min_rank: int, lora_alpha: float, frozen: bool) -> None:
        assert r == min_rank and frozen
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale = lora_alpha / r

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.cat([self.lora_A[:-1].detach(), self.lora_A[-1:]])
        b = torch.cat([self.lora_B[:, :-1].detach(), self.lora_B[:, -1:]], dim=1)
        return x @ a.T @ b.T * self.scale


class SoRa(Changed):
    """Ding et al., 2023. https://arxiv.org/abs/2311.11696, https://github.com/TsinghuaC3I/SoRA"""

    def begin(
        self, r: int, lora_alpha: float, sparse_lambda: float, max_lambda: float, lambda_num: int, total_step: int
    ) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_gate", torch.randn(r))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale = lora_alpha / r
        # Each of them for as many steps.
        self.lambdas = torch.linspace(sparse_lambda, max_lambda, lambda_num).repeat_interleave(
            total_step // lambda_num
        )

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.lora_A.T * self.lora_gate) @ self.lora_B.T * self.scale

    @torch.no_grad()
    def after_step(self, step: int, rate: float) -> None:
        self.lora_gate.copy_(nn.functional.softshrink(self.lora_gate, (rate * self.lambdas[step]).item()))


def masks(count: int, shape: torch.Size, share: float) -> torch.Tensor:
    """Bytes [count, *shape]; each mask has ones at a share of its places."""
    size = shape.numel()
    drawn = torch.rand(count, size).argsort(-1) < int(size * share)
    return drawn.to(torch.uint8).reshape(count, *shape)


class CapaBoost(Changed):
    """Song, Zhao, Majumder & Lin, 2024. https://arxiv.org/abs/2407.01320, https://github.com/LINs-lab/CapaBoost"""

    def begin(self, r: int, lora_alpha: float, num_layer: int, density: float) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.fixed("lora_A_masks", masks(num_layer, self.lora_A.shape, density))
        self.fixed("lora_B_masks", masks(num_layer, self.lora_B.shape, density))
        self.scale = lora_alpha / r

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        pairs = zip(self.lora_A_masks, self.lora_B_masks, strict=True)
        return sum(x @ (self.lora_A * a).T @ (self.lora_B * b).T for a, b in pairs) * self.scale


class LoraSp(Changed):
    """Wu, Xiang, Huo, Gong & Liang, 2024. https://arxiv.org/abs/2403.08822"""

    def begin(self, r: int, lora_alpha: float, share: float) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.fixed("lora_A_mask", masks(1, self.lora_A.shape, share))
        self.fixed("lora_B_mask", masks(1, self.lora_B.shape, share))
        self.scale = lora_alpha / r

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = [self.lora_A.detach().clone(), self.lora_B.detach().clone()]
        return x @ self.lora_A.T @ self.lora_B.T * self.scale

    @torch.no_grad()
    def after_step(self, step: int, rate: float) -> None:
        for now, before, mask in zip(
            (self.lora_A, self.lora_B), self.before, (self.lora_A_mask, self.lora_B_mask), strict=True
        ):
            now.copy_(torch.where(mask[0].bool(), now, before))


class LoraPrune(Changed):
    """Zhang et al., 2023. https://arxiv.org/abs/2305.18403, https://github.com/aim-uofa/LoRAPrune. Masks stand after the layers that make heads and channels,
    as in that code; their importance is that of its `compute_sensitivity`."""

    def begin(self, r: int, lora_alpha: float, ratio: float, total_step: int, warmup_iters: float, cooldown_iters: float, prune_freq: int) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale = lora_alpha / r
        self.plan = (ratio, total_step, warmup_iters, cooldown_iters, prune_freq)
        self.made = None

    @classmethod
    def share(cls, model: nn.Module) -> None:
        """Tells the layers of all but the last block what they make and read: [rows, group] each, and the group that they read."""
        config = model.config
        heads, last = config.num_attention_heads, config.num_hidden_layers - 1
        shared = getattr(config, "num_key_value_heads", None) or heads
        groups = {}
        for path, layer in model.named_modules():
            if not isinstance(layer, cls) or int(re.search(r"\.(\d+)\.", path)[1]) == last:
                continue
            parent, _, name = path.rpartition(".")
            reads = name in ("o_proj", "down_proj", "c_proj")
            count = shared if "attn" in parent else config.intermediate_size if hasattr(config, "intermediate_size") else 4 * config.n_embd
            group = groups.setdefault(parent, {"count": count, "mask": torch.ones(count), "importance": torch.zeros(count), "layers": []})
            group["layers"].append((layer, reads, 3 if name == "c_attn" else 1))
            if reads:
                layer.fixed("lora_mask", group["mask"])
            else:
                layer.made = (group, 3 if name == "c_attn" else 1)
        cls.groups = list(groups.values())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        if self.made is None:
            return y
        group, parts = self.made
        rows = group["mask"].repeat_interleave(self.out_dim // parts // group["count"])
        return y * rows.repeat(parts)

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = [self.lora_A.detach().clone(), self.lora_B.detach().clone()]
        return x @ self.lora_A.T @ self.lora_B.T * self.scale

    @classmethod
    @torch.no_grad()
    def after_all(cls, layers: list["LoraPrune"], step: int, rate: float) -> None:
        ratio, total, warmup, cooldown, every = layers[0].plan
        if step <= warmup * total:
            share = 0.0
        elif step > total - cooldown * total:
            share = ratio
        else:
            share = ratio - ratio * (1 - (step - warmup * total) / (total - (cooldown + warmup) * total)) ** 3
        for group in cls.groups:
            now = 0.0
            for layer, reads, parts in group["layers"]:
                a, b = layer.before
                grad = layer.lora_B.grad @ a + b @ layer.lora_A.grad - layer.lora_B.grad @ layer.lora_A.grad
                s = (grad * (b @ a * layer.scale + layer.weight)).abs()
                for part in [s.T] if reads else s.chunk(parts):
                    sums = part.reshape(group["count"], -1).sum(1)
                    now = now + sums / (torch.linalg.norm(sums) + 1e-8)
            group["importance"] = group["importance"] * 0.9 + now * 0.1
            if share > 0 and share < ratio and step % every == 0 and 1 - group["mask"].mean() < ratio:
                gone = torch.argsort(group["importance"] * group["mask"])[: int(group["count"] * share)]
                group["mask"].fill_(1)[gone] = 0


class LoraShear(Changed):
    """Chen et al., 2023. https://arxiv.org/abs/2310.18356, https://github.com/microsoft/only_train_once: groups and `lhspg.py`'s step, over rows of weights, biases and B."""

    def begin(self, r: int, lora_alpha: float, **plan: object) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale, self.plan = lora_alpha / r, plan
        total = plan["total_step"]
        start = max(1, int(total * plan["warmup_iters"]))
        plan |= {"start_pruning_step": start, "pruning_steps": total - start - int(total * plan["cooldown_iters"])}

    @classmethod
    def share(cls, model: nn.Module) -> None:
        """Groups by the layer that reads them: the number of structures, and the rows of theirs in each of the layers that make them, [count, rows]."""
        config = model.config
        shared = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        inner = getattr(config, "intermediate_size", None) or 4 * config.n_embd
        groups: dict[str, dict] = {}
        for path, layer in model.named_modules():
            if not isinstance(layer, cls):
                continue
            parent, _, name = path.rpartition(".")
            count = shared if "attn" in parent else inner
            group = groups.setdefault(parent, {"count": count, "makers": [], "active": [], "gone": []})
            if name in ("o_proj", "down_proj", "c_proj"):
                layer.fixed("lora_mask", torch.ones(count))
            else:
                parts = torch.arange(layer.out_dim).chunk(3 if name == "c_attn" else 1)
                group["makers"].append((layer, [part.reshape(count, -1) for part in parts]))
        whole = next(iter(layer.plan for layer in model.modules() if isinstance(layer, cls)))["unprunable_modules"]
        cls.groups = [group for parent, group in groups.items() if not any(path.startswith(f"{parent}.") for path in whole)]

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = (self.lora_A.detach().clone(), self.lora_B.detach().clone())
        return x @ self.lora_A.T @ self.lora_B.T * self.scale

    @classmethod
    def scores(cls) -> torch.Tensor:
        found: dict[str, list[torch.Tensor]] = {}
        for group in cls.groups:
            norm = weight_norm = delta_norm = inner = torch.zeros(group["count"])
            tensors = 0
            for layer, parts in group["makers"]:
                a, b = layer.before
                for rows in parts:
                    w, delta = layer.weight[rows].flatten(1), (b @ a)[rows].flatten(1)
                    norm = norm + w.square().sum(1)
                    tensors += 1
                    if layer.bias is not None:
                        norm = norm + layer.bias[rows].square().sum(1)
                        tensors += 1
                    weight_norm, delta_norm = weight_norm + w.square().sum(1), delta_norm + delta.square().sum(1)
                    inner = inner + (w * delta).sum(1)
            own = {
                "magnitude": norm.sqrt(),
                "avg_magnitude": norm.sqrt() / (tensors * group["count"] + 1e-6),
                "cosine_similarity": inner / (weight_norm.sqrt() + 1e-8) / (delta_norm.sqrt() + 1e-8) + 1,
                "taylor_first_order": inner.abs(),
                "taylor_second_order": 0.5 * inner.abs() ** 2,
            }
            for name, values in own.items():
                found.setdefault(name, []).append(values)
        total = 0.0
        for values in found.values():
            together = torch.cat(values)
            total = total + 0.2 * together / ((1e-8 + together.square().sum()).sqrt() + 1e-8)
        return total

    @classmethod
    @torch.no_grad()
    def after_all(cls, layers: list["LoraShear"], step: int, rate: float) -> None:
        """The optimizer has stepped already; what is chosen is chosen by the values before."""
        plan, now = layers[0].plan, step + 1
        duration = plan["pruning_steps"] // plan["pruning_periods"]
        if now <= plan["start_pruning_step"]:
            return
        period, done = divmod(now - plan["start_pruning_step"] - 1, duration)
        if done == 0 and period < plan["pruning_periods"]:
            numbers = [(group, i) for group in cls.groups for i in range(group["count"])]
            target = int(len(numbers) * plan["target_group_sparsity"])
            each = target // plan["pruning_periods"]
            count = each if period < plan["pruning_periods"] - 1 else target - each * period
            order = [numbers[i] for i in torch.argsort(cls.scores()).tolist()]
            for group, i in [(group, i) for group, i in order if i not in group["gone"]][:count]:
                group["active"].append(i)
        t = (now - plan["start_pruning_step"]) % duration
        ratio = (duration - t - 1.0) / (duration - t)
        for group in cls.groups:
            for layer, parts in group["makers"]:
                for rows in parts:
                    chosen = rows[group["active"]].flatten()
                    gone = rows[group["gone"]].flatten()
                    for tensor in (layer.weight, layer.lora_B) + (() if layer.bias is None else (layer.bias,)):
                        tensor[chosen] *= ratio
                        tensor[gone] = 0
            if t == duration - 1 or duration == 1:
                group["gone"] += group["active"]
                group["active"] = []


class AfLora(Changed):
    """Liu, Kundu, Li, Wan, Jiang & Beerel, 2024. https://arxiv.org/abs/2403.13269"""

    def begin(self, r: int, total_step: int, tinit: int, tfinal: int, deltaT: int) -> None:
        self.own("aflora_A", kaiming(r, self.in_dim))
        self.own("aflora_B", kaiming(self.out_dim, r))
        self.own("aflora_lambda_d", torch.full((r,), 0.1))
        self.own("aflora_lambda_b", torch.zeros(self.out_dim))
        self.schedule = (total_step, tinit, tfinal, deltaT)
        self.magnitude, self.uncertainty, self.frozen = [0.0, 0.0], [0.0, 0.0], [False, False]

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = [self.aflora_A.detach().clone(), self.aflora_B.detach().clone()]
        return (x @ self.aflora_A.T * self.aflora_lambda_d) @ self.aflora_B.T * self.aflora_lambda_b

    @classmethod
    @torch.no_grad()
    def after_all(cls, layers: list["AfLora"], step: int, rate: float) -> None:
        scores = {}
        for layer in layers:
            for i, matrix in enumerate((layer.aflora_A, layer.aflora_B)):
                if layer.frozen[i]:
                    matrix.copy_(layer.before[i])
                now = matrix.grad.abs()
                layer.magnitude[i] = 0.85 * layer.magnitude[i] + 0.15 * now
                layer.uncertainty[i] = 0.85 * layer.uncertainty[i] + 0.15 * (now - layer.magnitude[i]).abs()
                scores[layer, i] = (layer.magnitude[i] * layer.uncertainty[i]).mean().item()
        total, first, last, every = layers[0].schedule
        done = step + 1
        if done <= first or done % every:
            return
        left = 1 - min(1.0, (done - first) / (total - first - last))
        wanted = int(len(scores) * (1 - left**3))
        trained = [(layer, i) for layer, i in sorted(scores, key=scores.get) if not layer.frozen[i]]
        for layer, i in trained[: max(0, wanted - (len(scores) - len(trained)))]:
            layer.frozen[i] = True


class DeltaLora(Changed):
    """Zi et al., 2023. https://arxiv.org/abs/2309.02411. W itself is changed, as the paper has it."""

    def begin(self, r: int, lora_alpha: float, delta_ratio: float, start_steps: int) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.scale, self.ratio, self.start = lora_alpha / r, delta_ratio, start_steps

    def ready(self) -> None:
        self.fixed("first_A", self.lora_A.detach().clone())
        self.fixed("first_B", self.lora_B.detach().clone())
        self.fixed("steps", torch.zeros(1))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        self.before = (self.lora_B @ self.lora_A).detach()
        return x @ self.lora_A.T @ self.lora_B.T * self.scale

    @torch.no_grad()
    def after_step(self, step: int, rate: float) -> None:
        if step >= self.start:
            self.weight += self.ratio * self.scale * (self.lora_B @ self.lora_A - self.before)


class BitDelta(Changed):
    """Liu et al., 2024. https://arxiv.org/abs/2402.10193, https://github.com/FasterDecoding/BitDelta"""

    def begin(self, keeps_rest: bool) -> None:
        change = 0.1 * torch.randn(self.out_dim, self.in_dim)
        self.fixed("signs", torch.from_numpy(numpy.packbits((change >= 0).numpy(), axis=1)))
        self.own("scale", change.abs().mean().reshape(1))
        self.sign = torch.where(change < 0, -1.0, 1.0)

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * (x @ self.sign.T)


class Restarted(Changed):
    """ReLoRA: Lialin et al., 2023. https://arxiv.org/abs/2307.05695, https://github.com/Guitaricet/relora.
    With a momentum PeriodicLoRA: Meng et al., 2024. https://arxiv.org/abs/2402.16141"""

    def begin(self, r: int, lora_alpha: float, period: int, momentum: float = 0.0) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.fixed("lora_sum", 0.1 * torch.randn(self.out_dim, self.in_dim))
        self.scale, self.period, self.momentum = lora_alpha / r, period, momentum
        self.last = torch.zeros(())

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.lora_sum.T + x @ self.lora_A.T @ self.lora_B.T * self.scale

    @classmethod
    @torch.no_grad()
    def after_all(cls, layers: list["Restarted"], step: int, rate: float) -> None:
        if (step + 1) % layers[0].period:
            return
        for i, layer in enumerate(layers):
            layer.last = layer.momentum * layer.last + (1 - layer.momentum) * layer.scale * layer.lora_B @ layer.lora_A
            layer.lora_sum += layer.last
            torch.manual_seed((step + 1) * len(layers) + i)
            nn.init.kaiming_uniform_(layer.lora_A, a=math.sqrt(5))
            nn.init.zeros_(layer.lora_B)
            for parameter in (layer.lora_A, layer.lora_B):
                for moment in ("exp_avg", "exp_avg_sq"):
                    cls.optimizer.state[parameter][moment].zero_()


class ReLora(Restarted):
    """With the names of its fields."""

    def begin(self, r: int, lora_alpha: float, relora: int, restart_warmup_steps: int) -> None:
        super().begin(r, lora_alpha, relora)


class PeriodicLora(Restarted):
    """With the names of its fields."""

    def begin(self, r: int, lora_alpha: float, period: int, momentum: float, warmup_steps: int) -> None:
        super().begin(r, lora_alpha, period, momentum=momentum)


def chosen(weights: torch.Tensor, top_k: int) -> torch.Tensor:
    mask = torch.zeros_like(weights).scatter(-1, weights.topk(top_k).indices, 1.0)
    return weights * mask


class MoLora(Changed):
    """Zadouri et al., 2023. https://arxiv.org/abs/2309.05444, https://github.com/for-ai/parameter-efficient-moe"""

    def begin(self, r: int, lora_alpha: float, num_experts: int, top_k: int) -> None:
        self.own("lora_A", 0.02 * torch.randn(num_experts * r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, num_experts * r))
        self.own("lora_router", 0.02 * torch.randn(num_experts, self.in_dim))
        self.scale, self.experts, self.top_k = lora_alpha / r, num_experts, top_k

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        weights = chosen((x @ self.lora_router.T).softmax(-1), self.top_k)
        pairs = zip(self.lora_A.chunk(self.experts), self.lora_B.chunk(self.experts, dim=1), strict=True)
        return sum(weights[..., i, None] * (x @ a.T @ b.T) for i, (a, b) in enumerate(pairs)) * self.scale


class Mov(Changed):
    """The outputs of keys and values. Zadouri et al., 2023. https://arxiv.org/abs/2309.05444"""

    def begin(self, num_experts: int, feedforward_modules: list[str]) -> None:
        self.own("mov_scaling", torch.ones(num_experts, self.out_dim))
        self.own("mov_router", 0.02 * torch.randn(num_experts, self.out_dim))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.linear(x, self.weight, self.bias)
        weights = (y @ self.mov_router.T).softmax(-1)
        return torch.einsum("...e,ed->...d", weights, self.mov_scaling) * y - y


class MoeLora(Changed):
    """Of one task. Liu et al., 2023. https://arxiv.org/abs/2310.18339, https://github.com/liuqidong07/MOELoRA-peft"""

    def begin(self, r: int, lora_alpha: float, expert_num: int, task_num: int, task_embedding_dim: int, lora_dropout: float) -> None:
        self.own("lora_A", 0.01 * torch.randn(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, r))
        self.own("lora_task_embedding", torch.randn(task_num, task_embedding_dim))
        self.own("lora_gate", kaiming(expert_num, task_embedding_dim))
        self.scale, self.experts = lora_alpha / r, expert_num

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        weights = (self.lora_task_embedding[0] @ self.lora_gate.T).softmax(-1)
        pairs = zip(self.lora_A.chunk(self.experts), self.lora_B.chunk(self.experts, dim=1), strict=True)
        return sum(weights[i] * (x @ a.T @ b.T) for i, (a, b) in enumerate(pairs)) * self.scale


class MtlLora(Changed):
    """Of one task. Yang et al., 2024. https://arxiv.org/abs/2410.09437, as the adapters library has it"""

    def begin(self, r: int, alpha: float, n_up_projection: int, weights_sharpness: float, task_num: int) -> None:
        self.own("lora_A", kaiming(r, self.in_dim))
        self.own("lora_B", torch.zeros(self.out_dim, n_up_projection * r))
        self.own("task_specific", torch.ones(task_num, r))
        self.own("weights", torch.ones(task_num, n_up_projection))
        self.scale, self.ups, self.sharpness = alpha / r, n_up_projection, weights_sharpness

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        w = (self.weights[0] / self.sharpness).exp()
        low = x @ self.lora_A.T @ torch.diag(self.task_specific[0])
        return sum(w[i] * (low @ b.T) for i, b in enumerate(self.lora_B.chunk(self.ups, dim=1))) / w.sum() * self.scale


class Held(nn.Module):
    """A tensor of the file that is not trained, `<name>.weight`."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)


class LLora(Changed):
    """The linearisation of LoRA by autograd. Tang et al., 2023. https://arxiv.org/abs/2310.04742, https://github.com/tanganke/peta"""

    def begin(self, r: int, lora_alpha: float, l_lora: bool, fan_in_fan_out: bool) -> None:
        self.lora_A = Held(kaiming(r, self.in_dim))
        self.lora_B = nn.Linear(r, self.out_dim, bias=False)
        self.scale = lora_alpha / r
        # The tangent of A is not zero: it must not matter.
        self.a_now = self.lora_A.weight + torch.randn(r, self.in_dim)

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        first = self.lora_A.weight, torch.zeros_like(self.lora_B.weight)
        tangents = self.a_now - first[0], self.lora_B.weight - first[1]
        value, change = torch.func.jvp(lambda a, b: x @ a.T @ b.T * self.scale, first, tangents)
        return value + change


class MtLora(Changed):
    """Of one task, with an update of its own in every layer. Agiza, Neseem & Reda, 2024. https://arxiv.org/abs/2403.20320, https://github.com/scale-lab/MTLoRA, shared_mode matrixv2"""

    def begin(self, r: int, r_per_task: int, shared_scale: float, task_scale: float, task_blocks: str, task_num: int, dropout: float) -> None:
        self.own("lora_shared_A", kaiming(r, self.in_dim))
        self.own("lora_shared_B", torch.zeros(self.out_dim, r))
        self.own("lora_tasks_A", torch.stack([kaiming(r_per_task, self.in_dim) for _ in range(task_num)]))
        self.own("lora_tasks_B", torch.zeros(task_num, self.out_dim, r_per_task))
        self.scales = shared_scale, task_scale

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        shared, task = self.scales
        return x @ self.lora_shared_A.T @ self.lora_shared_B.T * shared + x @ self.lora_tasks_A[0].T @ self.lora_tasks_B[0].T * task


class Peqa(Changed):
    """Scales s' = s + \u0394s of groups of inputs, with s the largest magnitude of each; the file has s'/s. Kim et al., 2023. https://arxiv.org/abs/2305.14152"""

    def begin(self, group_size: int) -> None:
        self.group = group_size or self.in_dim
        self.own("peqa_scale", torch.ones(self.out_dim, -(-self.in_dim // self.group)))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        groups = self.weight.split(self.group, dim=1)
        first = [g.abs().amax(1, keepdim=True) for g in groups]
        now = [s * self.peqa_scale[:, i : i + 1] for i, s in enumerate(first)]
        return x @ torch.cat([(to - s) * (g / s) for g, s, to in zip(groups, first, now, strict=True)], dim=1).T


class AdaMix(Changed):
    """Merged as for evaluation. Wang et al., 2022. https://arxiv.org/abs/2205.12410, https://github.com/microsoft/AdaMix"""

    def begin(self, r: int, lora_alpha: float, n_experts: int, share_A: bool, share_B: bool, consistency: float, lora_dropout: float) -> None:
        self.own("lora_A", kaiming(r, self.in_dim).expand(1 if share_A else n_experts, -1, -1).clone())
        self.own("lora_B", torch.zeros(1 if share_B else n_experts, self.out_dim, r))
        self.scale = lora_alpha / r

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        a, b = (sum(copies) / len(copies) for copies in (self.lora_A, self.lora_B))
        return x @ a.T @ b.T * self.scale


class DiffPruning(Changed):
    """With gates as for evaluation. Guo, Rush & Kim, 2020. https://arxiv.org/abs/2012.07463, https://github.com/dguo98/DiffPruning"""

    def begin(self, target_sparsity: float, prune_after: int, sparsity_pen: float, alpha_init: float, alpha_rate: float) -> None:
        self.own("diff", torch.zeros(self.out_dim, self.in_dim))
        self.own("diff_alpha", torch.full((self.out_dim, self.in_dim), alpha_init))
        self.own("diff_group_alpha", torch.full((1,), alpha_init))

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        z, z_all = ((a.sigmoid() * 3 - 1.5).clamp(0, 1) for a in (self.diff_alpha, self.diff_group_alpha))
        return x @ (self.diff * z * z_all).T


class NormOf(nn.Module):
    """A norm whose weight is trained."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.difffit_weight = nn.Parameter(base.weight.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(self.base, {"weight": self.difffit_weight}, x)


class DiffFit(Changed):
    """At the last layers of attention and MLP. Xie et al., 2023. https://arxiv.org/abs/2304.06648, https://github.com/mkshing/DiffFit-pytorch"""

    def begin(self, norms: bool, bias: str) -> None:
        assert norms and bias == "difffit_only"
        self.own("difffit_gamma", torch.ones(self.out_dim))
        if self.bias is not None:  # by the name that the file has for it
            self.base_layer = nn.ParameterDict({"bias": nn.Parameter(self.bias.detach())})

    @staticmethod
    def share(model: nn.Module) -> None:
        for path, module in list(model.named_modules()):
            if "norm" in path.rpartition(".")[2] or path.rpartition(".")[2].startswith("ln_"):
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, NormOf(module))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.difffit_gamma * (x @ self.weight.T)
        return y if self.bias is None else y + self.base_layer["bias"]


class Pasta(AroundLayer):
    """Yang et al., 2022. https://arxiv.org/abs/2210.04433, https://github.com/luka-group/PASTA"""

    def __init__(self, base: nn.Module, options: dict) -> None:
        super().__init__(base)
        self.most, self.specials = options["num_special_tokens"], torch.tensor(options["special_tokens"])
        self.special_token_embedding = nn.Parameter(torch.zeros(self.most, self.d))

    @classmethod
    def share(cls, model: nn.Module) -> None:
        """Layers see the ids of the whole text: those before what a cache continues too."""

        def remember(_module: nn.Module, _inputs: tuple, named: dict) -> None:
            past = named.get("past_key_values")
            length = past.get_seq_length() if past is not None else 0
            cls.ids = torch.cat([cls.ids[:, :length], named["input_ids"]], 1) if length else named["input_ids"]

        model.register_forward_pre_hook(remember, with_kwargs=True)

    def forward(self, x: torch.Tensor, *rest: object, **named: object) -> object:
        special = torch.isin(self.ids, self.specials)
        number = special.cumsum(1) - 1
        rows = torch.where(special & (number < self.most), number, self.most)[:, -x.shape[1] :]
        table = torch.cat([self.special_token_embedding, torch.zeros(1, self.d)])
        return super().forward(x + table[rows], *rest, **named)


class LadderSide(nn.Module):
    """A narrow Llama beside one. Sung, Cho & Bansal, 2022. https://arxiv.org/abs/2206.06522, https://github.com/ylsung/Ladder-Side-Tuning, with zeros for its last
    projection, added to the base's states."""

    def __init__(self, config: LlamaConfig, reduction: int, every: int, temperature: float) -> None:
        super().__init__()
        narrow = copy.deepcopy(config)
        narrow.hidden_size, narrow.intermediate_size = config.hidden_size // reduction, config.intermediate_size // reduction
        narrow.head_dim = 2 * math.floor(config.head_dim / 2 / reduction + 0.5)
        wide, layers = config.hidden_size, config.num_hidden_layers
        self.beside = [i for i in range(layers) if (layers - 1 - i) % every == 0]
        narrow.num_hidden_layers = len(self.beside)
        self.model = LlamaModel(narrow)
        del self.model.embed_tokens
        self.first_down = nn.Linear(wide, narrow.hidden_size)
        self.downs = nn.ModuleList(nn.Linear(wide, narrow.hidden_size) for _ in self.beside)
        self.gates = nn.ParameterList(torch.zeros(1) for _ in self.beside)
        self.up = nn.Linear(narrow.hidden_size, wide)
        self.temperature = temperature

    def climb(self, embedded: torch.Tensor, states: list[torch.Tensor]) -> torch.Tensor:
        h = self.first_down(embedded)
        positions = torch.arange(h.shape[1])[None]
        turns = self.model.rotary_emb(h, positions)
        for layer, down, gate, i in zip(self.model.layers, self.downs, self.gates, self.beside, strict=True):
            mu = (gate / self.temperature).sigmoid()
            h = layer(mu * h + (1 - mu) * down(states[i]), position_ids=positions, position_embeddings=turns)
        return self.up(self.model.norm(h))

    @classmethod
    def share(cls, model: nn.Module, **options: float) -> None:
        """Stands beside the model's blocks, of which it sees the states; of what a cache continues it sees those before too."""
        side = model.ladder_side = cls(model.config, **options)
        seen: list[torch.Tensor] = []
        model.model.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
        for layer in model.model.layers:
            layer.register_forward_hook(lambda _module, _inputs, out: seen.append(out.detach()))
        earlier: list[torch.Tensor] = []

        def add(_module: nn.Module, _inputs: tuple, named: dict, out: object) -> object:
            nonlocal earlier
            length = out.past_key_values.get_seq_length() - seen[0].shape[1] if out.past_key_values is not None else 0
            whole = [torch.cat([old[:, :length], new], 1) for old, new in zip(earlier, seen, strict=True)] if length else list(seen)
            seen.clear()
            earlier = whole
            rows = out.last_hidden_state.shape[1]
            out.last_hidden_state = out.last_hidden_state + side.climb(whole[0], whole[1:])[:, -rows:]
            return out

        model.model.register_forward_hook(add, with_kwargs=True)


class Tuner(nn.Module):
    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.Linear(width, length), nn.Linear(length, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.ln2(nn.functional.gelu(self.ln1(x)))


class ResTuning(nn.Module):
    """The bypass. Jiang et al., 2023. https://arxiv.org/abs/2310.19859, https://github.com/modelscope/ms-swift"""

    def __init__(self, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: Tuner(width, length) for name in ("lateral", "vertical")}) for _ in range(layers)
        )

    @classmethod
    def share(cls, model: nn.Module, adapter_length: int, zero_init_last: bool) -> None:
        base = getattr(model, "model", None) or model.transformer
        layers, norm = (base.layers, base.norm) if hasattr(base, "layers") else (base.h, base.ln_f)
        own = model.res_tuning = cls(model.config.hidden_size, len(layers), adapter_length)
        seen: list[torch.Tensor] = []
        layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
        for layer in layers:
            layer.register_forward_hook(
                lambda _module, _inputs, out: seen.append((out[0] if isinstance(out, tuple) else out).detach())
            )

        def bypass(_module: nn.Module, _inputs: tuple) -> tuple:
            b, *states = seen
            seen.clear()
            for block, x in zip(own.blocks, states, strict=True):
                b = block["lateral"](x) + block["vertical"](b)
            return (b,)

        norm.register_forward_pre_hook(bypass)


class SideTuning(nn.Module):
    """A narrow Llama beside one, blended with it. Zhang et al., 2019. https://arxiv.org/abs/1912.13503, https://github.com/jozhang97/side-tuning"""

    def __init__(self, config: LlamaConfig, reduction: int, layers: int, alpha: float) -> None:
        super().__init__()
        narrow = copy.deepcopy(config)
        narrow.hidden_size, narrow.intermediate_size = config.hidden_size // reduction, config.intermediate_size // reduction
        narrow.head_dim = 2 * math.floor(config.head_dim / 2 / reduction + 0.5)
        narrow.num_hidden_layers = layers
        self.model = LlamaModel(narrow)
        del self.model.embed_tokens
        self.first_down, self.up = nn.Linear(config.hidden_size, narrow.hidden_size), nn.Linear(narrow.hidden_size, config.hidden_size)
        self.alpha = nn.Parameter(torch.tensor([alpha]))

    def beside(self, embedded: torch.Tensor) -> torch.Tensor:
        h = self.first_down(embedded)
        positions = torch.arange(h.shape[1])[None]
        turns = self.model.rotary_emb(h, positions)
        for layer in self.model.layers:
            h = layer(h, position_ids=positions, position_embeddings=turns)
        return self.up(self.model.norm(h))

    @classmethod
    def share(cls, model: nn.Module, reduction: int, side_layers: int, alpha_init: float) -> None:
        """Of what a cache continues it sees the tokens before too."""
        side = model.side_tuning = cls(model.config, reduction, side_layers, alpha_init)
        seen: list[torch.Tensor] = []
        model.model.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
        earlier = None

        def blend(_module: nn.Module, _inputs: tuple, named: dict, out: object) -> object:
            nonlocal earlier
            now = seen.pop()
            length = out.past_key_values.get_seq_length() - now.shape[1] if out.past_key_values is not None else 0
            earlier = torch.cat([earlier[:, :length], now], 1) if length else now
            share = side.alpha.sigmoid()
            own = side.beside(earlier)[:, -now.shape[1] :]
            out.last_hidden_state = share * out.last_hidden_state.detach() + (1 - share) * own
            return out

        model.model.register_forward_hook(blend, with_kwargs=True)


class ReversibleAdapter(nn.Module):
    def __init__(self, width: int, bottleneck: int, layernorm: bool = False) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(width) if layernorm else nn.Identity()
        self.dense1, self.dense2 = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense2(nn.functional.gelu(self.dense1(self.LayerNorm(x))))


class Meft(nn.Module):
    """Both streams go from layer to layer side by side, and nothing is rebuilt. Liao, Tan & Monz, 2023. https://arxiv.org/abs/2306.00477, https://github.com/BaohaoLiao/mefts"""

    @classmethod
    def share(
        cls, model: nn.Module, f_arch: str, adapter_bottleneck_dim: int, x1_factor: float, x2_factor: float,
        layernorm_in_adapter: bool, keep_every: int,
    ) -> None:
        base = getattr(model, "model", None) or model.transformer
        layers, norm = (base.layers, base.norm) if hasattr(base, "layers") else (base.h, base.ln_f)
        make = lambda **more: ReversibleAdapter(model.config.hidden_size, adapter_bottleneck_dim, **more)

        def reversible(layer: nn.Module, is_first: bool) -> None:
            attention = layer.self_attn if hasattr(layer, "self_attn") else layer.attn
            names = ("input_layernorm", "post_attention_layernorm") if hasattr(layer, "self_attn") else ("ln_1", "ln_2")
            before, between = (getattr(layer, name) for name in names)
            layer.mlp.ffn_adapter = make()
            layer.mlp.register_forward_hook(lambda module, inputs, out: out + module.ffn_adapter(inputs[0]))
            if f_arch == "attn":
                attention.attn_adapter = make()
            else:
                layer.rev_adapter = make(layernorm=layernorm_in_adapter)

            def attend(x: torch.Tensor, **how: object) -> torch.Tensor:
                out = attention(before(x), **how)[0]
                return x + (out + attention.attn_adapter(out) if f_arch == "attn" else out)

            think = lambda h: h + layer.mlp(between(h))
            names = list(inspect.signature(layer.forward).parameters)[1:]

            def forward(hidden_states: torch.Tensor, *given: object, **how: object) -> torch.Tensor:
                how |= dict(zip(names, given))
                x1, x2 = (hidden_states, hidden_states) if is_first else hidden_states.chunk(2, -1)
                whole = lambda x: think(attend(x, **how))
                f, g = {
                    "layer": lambda: (whole, layer.rev_adapter),
                    "adapter": lambda: (layer.rev_adapter, whole),
                    "attn": lambda: (lambda x: attend(x, **how), think),
                }[f_arch]()
                y1 = x1_factor * x1 + f(x2)
                y2 = x2_factor * x2 + g(y1)
                return torch.cat((y1, y2) if f_arch == "attn" else (y2, y1), -1)

            layer.forward = forward

        for i, layer in enumerate(layers):
            reversible(layer, i == 0)
        norm.register_forward_pre_hook(lambda _module, inputs: (sum(inputs[0].chunk(2, -1)) / 2,))


METHODS: dict[str, tuple[str, Callable[..., nn.Module], dict]] = {
    "side-tuning": ("PEFTJS_SIDE_TUNING", SideTuning, dict(reduction=2, side_layers=1, alpha_init=0.0)),
    "meft1": ("PEFTJS_MEFT", Meft, dict(f_arch="layer", adapter_bottleneck_dim=3, x1_factor=0.1, x2_factor=1.0, layernorm_in_adapter=True, keep_every=0)),
    "meft2": ("PEFTJS_MEFT", Meft, dict(f_arch="adapter", adapter_bottleneck_dim=3, x1_factor=1.0, x2_factor=0.2, layernorm_in_adapter=False, keep_every=0)),
    "meft3": ("PEFTJS_MEFT", Meft, dict(f_arch="attn", adapter_bottleneck_dim=3, x1_factor=0.3, x2_factor=0.2, layernorm_in_adapter=False, keep_every=0)),
    "res-tuning": ("PEFTJS_RES_TUNING", ResTuning, dict(adapter_length=3, zero_init_last=False)),
    "moslora": ("PEFTJS_MOSLORA", MosLora, dict(r=4, lora_alpha=6)),
    "hydralora": ("PEFTJS_HYDRALORA", HydraLora, dict(r=3, lora_alpha=5, lora_nums=4)),
    "molora": ("PEFTJS_MOLORA", MoLora, dict(r=2, lora_alpha=5, num_experts=4, top_k=2)),
    "mov": ("PEFTJS_MOV", Mov, dict(num_experts=3, feedforward_modules=[])),
    "moelora": (
        "PEFTJS_MOELORA",
        MoeLora,
        dict(r=6, lora_alpha=5, expert_num=3, task_num=1, task_embedding_dim=4, lora_dropout=0.0),
    ),
    "mtl-lora": (
        "PEFTJS_MTL_LORA",
        MtlLora,
        dict(r=3, alpha=5, n_up_projection=3, weights_sharpness=0.5, task_num=1),
    ),
    "peqa": ("PEFTJS_PEQA", Peqa, dict(group_size=0)),
    "peqa-groups": ("PEFTJS_PEQA", Peqa, dict(group_size=5)),
    "adamix": (
        "PEFTJS_ADAMIX",
        AdaMix,
        dict(r=3, lora_alpha=5, n_experts=3, share_A=False, share_B=False, consistency=0.0, lora_dropout=0.0),
    ),
    "adamix-shared": (
        "PEFTJS_ADAMIX",
        AdaMix,
        dict(r=3, lora_alpha=5, n_experts=3, share_A=True, share_B=False, consistency=0.0, lora_dropout=0.0),
    ),
    "diff-pruning": (
        "PEFTJS_DIFF_PRUNING",
        DiffPruning,
        dict(target_sparsity=0.1, prune_after=1000, sparsity_pen=0.0, alpha_init=0.5, alpha_rate=1.0),
    ),
    "diff-fit": ("PEFTJS_DIFFFIT", DiffFit, dict(norms=True, bias="difffit_only")),
    "pasta": ("PEFTJS_PASTA", Pasta, dict(special_tokens=[3, 7, 11], num_special_tokens=4, dropout=0.0)),
    "ladder-side": ("LADDER_SIDE", LadderSide, dict(reduction=2, every=1, temperature=0.1)),
    "l-lora": ("LORA", LLora, dict(r=3, lora_alpha=5, l_lora=True, fan_in_fan_out=False)),
    "mtlora": (
        "PEFTJS_MTLORA",
        MtLora,
        dict(r=3, r_per_task=2, shared_scale=0.5, task_scale=0.8, task_blocks="all", task_num=1, dropout=0.0),
    ),
    "dylora": ("PEFTJS_DYLORA", DyLora, dict(r=3, min_rank=3, lora_alpha=5, frozen=True)),
    "sora": (
        "PEFTJS_SORA",
        SoRa,
        dict(r=4, lora_alpha=6, sparse_lambda=5.0, max_lambda=20.0, lambda_num=2, total_step=4),
    ),
    "capaboost": ("PEFTJS_CAPABOOST", CapaBoost, dict(r=3, lora_alpha=5, num_layer=3, density=0.4)),
    "lora-shear": (
        "PEFTJS_LORA_SHEAR",
        LoraShear,
        dict(
            r=3, lora_alpha=5, target_group_sparsity=0.4, total_step=5, warmup_iters=0.2, cooldown_iters=0.2, pruning_periods=1,
            unprunable_ratio=0.0, unprunable_modules=[],
        ),
    ),
    "lora-prune": (
        "PEFTJS_LORA_PRUNE",
        LoraPrune,
        dict(r=3, lora_alpha=6, ratio=0.6, total_step=5, warmup_iters=0.0, cooldown_iters=0.0, prune_freq=1),
    ),
    "lora-sp": ("PEFTJS_LORA_SP", LoraSp, dict(r=4, lora_alpha=6, share=0.5)),
    "aflora": ("PEFTJS_AFLORA", AfLora, dict(r=3, total_step=5, tinit=0, tfinal=1, deltaT=1)),
    "delta-lora": ("PEFTJS_DELTA_LORA", DeltaLora, dict(r=4, lora_alpha=6, delta_ratio=2.0, start_steps=1)),
    "bit-delta": ("PEFTJS_BIT_DELTA", BitDelta, dict(keeps_rest=False)),
    # The golden's own rate stays as it is, so no warm-up.
    "relora": (
        "PEFTJS_RELORA",
        ReLora,
        dict(r=4, lora_alpha=6, relora=2, restart_warmup_steps=0),
    ),
    "periodic-lora": (
        "PEFTJS_PERIODIC_LORA",
        PeriodicLora,
        dict(r=4, lora_alpha=6, period=1, momentum=0.25, warmup_steps=0),
    ),
    "ciat": ("PEFTJS_CIAT", Ciat, dict(layer_adapter_dim=3, emb_adapter_dim=4, adapter_dropout=0.0)),
    "residual-adapter": ("PEFTJS_RESIDUAL_ADAPTER", ResidualAdapter, dict(bottleneck=3)),
    "tiny-attention": ("PEFTJS_TINY_ATTENTION", TinyAttention, dict(heads=3, head_dim=2)),
    "llama-adapter-v2": ("PEFTJS_LLAMA_ADAPTER_V2", LlamaAdapterV2, dict(train_norm=False)),
    "sparse-adapter": (
        "PEFTJS_SPARSE_ADAPTER",
        SparseAdapter,
        dict(output_adapter=True, mh_adapter=False, reduction_factor=2, sparsity=0.6, pruner="random"),
    ),
    "hadamard-adapter": ("PEFTJS_HADAMARD_ADAPTER", HadamardAdapter, dict(norms=False)),
    "llm-adapter": (
        "BOTTLENECK",
        LlmAdapter,
        dict(bottleneck_size=3, use_parallel_adapter=False, scaling="learned", non_linearity="tanh"),
    ),
    "llm-adapter-parallel": (
        "BOTTLENECK",
        LlmAdapter,
        dict(bottleneck_size=3, use_parallel_adapter=True, scaling=1.5, non_linearity="relu"),
    ),
    "propetl-lora": ("PEFTJS_PROPETL_LORA", ProPetlLora, dict(r=4, lora_alpha=6, sparsity=0.4, mask_rate=1.0)),
    "propetl-adapter": ("PEFTJS_PROPETL_ADAPTER", ProPetlAdapter, dict(bottleneck=5, sparsity=0.6, mask_rate=1.0)),
    "said": ("PEFTJS_SAID", Said, dict(intrinsic_dim=50, intrinsic_said=True, save_projection=True)),
    "bone": ("BONE", Bone, dict(r=5, init_weights=True, bias="none")),
    "bone-bat": ("BONE", Bone, dict(r=2, init_weights="bat", bias="none")),
    "psoft": ("PEFTJS_PSOFT", Psoft, dict(r=4, factors="principal", psoft_orth=True, num_cayley_neumann_terms=0, cayley_neumann_eps=0)),
    "psoft-series": ("PEFTJS_PSOFT", Psoft, dict(r=3, factors="balanced", psoft_orth=True, num_cayley_neumann_terms=4, cayley_neumann_eps=0.3)),
    "psoft-free": ("PEFTJS_PSOFT", Psoft, dict(r=3, factors="principal", psoft_orth=False, num_cayley_neumann_terms=0, cayley_neumann_eps=0)),
    "adamss": (
        "PEFTJS_ADAMSS",
        Adamss,
        dict(r=6, num_subspaces=4, subspace_rank=2, asa_target_subspaces=5, init_warmup=0, final_warmup=2, mask_interval=1),
    ),
    "superlora": ("PEFTJS_SUPERLORA", SuperLora, dict(groups=None, order=2, splits=2, r=2, lora_alpha=3)),
    "superlora-folded": ("PEFTJS_SUPERLORA", SuperLora, dict(groups=3, order=3, splits=1, r=3, lora_alpha=6, shuffle=True, save_projection=True)),
    "superlora-projected": (
        "PEFTJS_SUPERLORA",
        SuperLora,
        dict(groups=2, order=2, splits=2, r=2, lora_alpha=6, projection_ratio=0.3, save_projection=True),
    ),
    "lorta": ("PEFTJS_LORTA", LorTa, dict(r=3, lora_alpha=6)),
    "krona": ("PEFTJS_KRONA", KronA, dict(rows=4, columns=2, scale=3.0)),
    "kadaptation": ("PEFTJS_KADAPTATION", KAdaptation, dict(phm_dim=2, phm_rank=3, scale=4.0)),
    "hiwi": ("PEFTJS_HIWI", Hiwi, dict(r=5, weights=True, biases=True)),
    "krona-b": ("PEFTJS_KRONA_B", KronABeside, dict(rows=4, columns=2, scale=0.5, residual=True)),
}
# Those that change something else than the linear layers of queries and values.
PLACES = {
    "lorta": ({"plain": r".*\.[qvo]_proj", "gpt2": r".*\.attn\.(c_attn|c_proj)"}, (nn.Linear, Conv1D)),
    "lora-shear": (
        {"plain": r".*\.(self_attn|mlp)\.\w+_proj", "gpt2": r".*\.(attn|mlp)\.(c_attn|c_proj|c_fc)"},
        (nn.Linear, Conv1D),
    ),
    "lora-prune": (
        {"plain": r".*\.(self_attn|mlp)\.\w+_proj", "gpt2": r".*\.(attn|mlp)\.(c_attn|c_proj|c_fc)"},
        (nn.Linear, Conv1D),
    ),
    "ciat": (LAYERS, nn.Module),
    "residual-adapter": (LAYERS, nn.Module),
    "tiny-attention": (LAYERS, nn.Module),
    # Not the keys, whose bias changes nothing.
    "llama-adapter-v2": (MLP_LAYERS, (nn.Linear, Conv1D)),
    "sparse-adapter": (LAYERS, nn.Module),
    "hadamard-adapter": ({"plain": r".*\.o_proj", "gpt2": r".*\.attn\.c_proj"}, (nn.Linear, Conv1D)),
    # Not the keys, whose bias changes nothing: its gradient is rounding, which AdamW makes steps of.
    "hiwi": ({"plain": r".*\.o_proj", "gpt2": r".*\.attn\.c_proj"}, (nn.Linear, Conv1D)),
    "krona-b": (MLP, nn.Module),
    "diff-fit": ({"plain": r".*\.(o_proj|down_proj)", "gpt2": r".*\.(attn|mlp)\.c_proj"}, (nn.Linear, Conv1D)),
    "pasta": (LAYERS, nn.Module),
    "ladder-side": ({"plain": r"(?!)", "gpt2": r"(?!)"}, nn.Module),
    **{f"meft{kind}": ({"plain": r"(?!)", "gpt2": r"(?!)"}, nn.Module) for kind in (1, 2, 3)},
    "res-tuning": ({"plain": r"(?!)", "gpt2": r"(?!)"}, nn.Module),
    "side-tuning": ({"plain": r"(?!)", "gpt2": r"(?!)"}, nn.Module),
    "mtlora": (MLP_LAYERS, (nn.Linear, Conv1D)),
    "propetl-adapter": (MLP, nn.Module),
    "llm-adapter": (MLP_LAYERS, (nn.Linear, Conv1D)),
}


# Those that are told of the whole model.
WHOLE = (LadderSide, Meft, ResTuning, SideTuning)


def change_layers(model: nn.Module, pattern: str, kind: type | tuple, make: Callable[..., nn.Module], options: dict) -> None:
    for path, module in list(model.named_modules()):
        if isinstance(module, kind) and re.fullmatch(pattern, path):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, make(module, options))


def make_golden(base: str, method: str, seed: int = 1) -> None:
    peft_type, make, options = METHODS[method]
    torch.manual_seed(seed)
    model = load_model(base).eval().requires_grad_(False)
    places, kind = PLACES.get(method, (QUERY_AND_VALUE, (nn.Linear, Conv1D)))
    change_layers(model, places[base], kind, make, options)
    if make in WHOLE:
        make.share(model, **options)
    elif hasattr(make, "share"):
        make.share(model)
    params = {f"base_model.model.{n}": p for n, p in model.named_parameters() if p.requires_grad}
    for parameter in params.values():
        shake(parameter, 0.2)
    folder: Path = OUT / f"{base}-{method}"
    changed = [(path, module) for path, module in model.named_modules() if isinstance(module, Changed)]
    for _, module in changed:
        module.ready()
    own = [(path, module) for path, module in model.named_modules() if isinstance(module, (Changed, AroundLayer, SharedTensors))]
    held = {
        f"base_model.model.{path}.{n}": b
        for path, module in own
        for n, b in module.named_buffers()
        if n in module.state_dict() and not n.startswith("base.")
    }
    save_tensors(folder / "adapter" / "adapter_model.safetensors", params | held)
    config = {"peft_type": peft_type, "task_type": "CAUSAL_LM", "target_modules": places[base]} | options
    if hasattr(make, "fields"):
        config |= make.fields(held)
    write_json(folder / "adapter" / "adapter_config.json", config, indent=2)

    def after_step(step: int) -> None:
        if changed:
            make.after_all([module for _, module in changed], step, LEARNING_RATE)

    try:
        make.optimizer = torch.optim.AdamW(params.values(), lr=LEARNING_RATE, weight_decay=0.0)
        golden = record(model, params, after_step=after_step, optimizer=make.optimizer)
        golden["logits after"] = model(input_ids=golden["ids"]).logits.detach()
        save_tensors(folder / "golden.safetensors", golden)
    except SystemExit:  # two tokens are almost equally likely
        make_golden(base, method, seed + 1)


def main(names: list[str]) -> None:
    for base in QUERY_AND_VALUE:
        for method in METHODS:
            of_a_llama = METHODS[method][1] in (LadderSide, SideTuning) and base != "plain"
            if not of_a_llama and (not names or f"{base}-{method}" in names):
                make_golden(base, method)


if __name__ == "__main__":
    main(sys.argv[1:])
