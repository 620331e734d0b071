"""Prompts that no library has, written here in PyTorch from the papers and their authors' code: goldens of them, in data/python.

A `Prompted` is the frozen model and the method's own tensors, by the names that our files have for them. Adapters are written as we write them, with a
type of our own.

Usage: python own_prompts.py [NAME ...], where a name is plain-llama-adapter; all without one.
"""

import math
import sys
from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from common import IGNORED, LEARNING_RATE, OUT, record, save_tensors, shake, write_json
from models import load_model
from pha import OPTIONS as PHA
from pha import PhaNetwork


class Prompted:
    """A frozen decoder whose sequences have rows [batch, m, d] in front of their embedded tokens."""

    def __init__(self, base: nn.Module, options: dict) -> None:
        self.base, self.config, self.tensors, self.held, self.rates = base, base.config, {}, {}, {}
        self.embedding = base.get_input_embeddings()
        self.width = self.embedding.weight.shape[1]
        self.begin(**options)

    def own(self, name: str, tensor: torch.Tensor) -> nn.Parameter:
        self.tensors[name] = nn.Parameter(tensor)
        return self.tensors[name]

    def fixed(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of the file that is not trained."""
        self.held[name] = tensor
        return tensor

    def begin(self, **options: object) -> None:
        """Makes the method's tensors, with their first values."""
        raise NotImplementedError

    def ready(self) -> None:
        """Is called once the tensors of `begin` were moved off their first values."""

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """What takes the place of the embedded tokens [batch, tokens, d]."""
        return x

    def front(self, x: torch.Tensor) -> torch.Tensor:
        """The rows in front, of the embedded tokens."""
        return x[:, :0]

    def after_step(self, step: int) -> None:
        """What the method does to its tensors after a step of the optimiser, counted from 0."""

    def penalty(self) -> torch.Tensor | float:
        """What is added to the loss of the last pass."""
        return 0.0

    def train(self, training: bool) -> None:
        """Nothing is drawn."""

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        """Logits of the tokens. A prompt that depends on its text is that of the first `read` tokens: of those that were given before the others were generated."""
        x = self.embedding(input_ids)
        rows = self.front(x[:, :read])
        every = torch.cat([rows, self.inside(x)], dim=1)
        return self.base(inputs_embeds=every, use_cache=False).logits[:, rows.shape[1] :]

    def __call__(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> SimpleNamespace:
        logits = self.run(input_ids, input_ids.shape[1])
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        return SimpleNamespace(logits=logits, loss=loss)

    @torch.no_grad()
    def generate(self, input_ids: torch.Tensor, max_new_tokens: int, **how: object) -> SimpleNamespace:
        """The likeliest tokens."""
        read, steps = input_ids.shape[1], []
        for _ in range(max_new_tokens):
            steps.append(self.run(input_ids, read)[:, -1])
            input_ids = torch.cat([input_ids, steps[-1].argmax(-1, keepdim=True)], dim=1)
        return SimpleNamespace(logits=steps, sequences=input_ids)

    def attentions(self) -> list[tuple[str, nn.Module]]:
        return [(n, m) for n, m in self.base.named_modules() if n.endswith((".self_attn", ".attn"))]


class LlamaAdapter(Prompted):
    """Zhang et al., 2023. https://arxiv.org/abs/2303.16199, https://github.com/OpenGVLab/LLaMA-Adapter"""

    def begin(self, adapter_len: int, adapter_layers: int) -> None:
        for path, attention in self.attentions()[-adapter_layers:]:
            prompt = self.own(f"{path}.adaption_prompt", torch.randn(1, adapter_len, self.width))
            gate = self.own(f"{path}.adaption_gate", torch.zeros(self.config.num_attention_heads))
            self.add_to(attention, prompt, gate)

    def add_to(self, attention: nn.Module, prompt: torch.Tensor, gate: torch.Tensor) -> None:
        def split(x: torch.Tensor) -> torch.Tensor:
            heads = x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            return heads.repeat_interleave(self.config.num_attention_heads // heads.shape[1], dim=1)

        def note(module: nn.Module, args: tuple, given: dict) -> None:
            x = given["hidden_states"] if "hidden_states" in given else args[0]
            if hasattr(module, "c_attn"):
                q, _, _ = module.c_attn(x).chunk(3, -1)
                _, k, v = module.c_attn(prompt).chunk(3, -1)
                q = split(q)
            else:
                q, k, v = split(module.q_proj(x)), module.k_proj(prompt), module.v_proj(prompt)
                q, _ = apply_rotary_pos_emb(q, q, *given["position_embeddings"])
            weights = (q @ split(k).transpose(2, 3) / math.sqrt(module.head_dim)).softmax(-1)
            self.added = (gate.tanh()[:, None, None] * weights @ split(v)).transpose(1, 2).flatten(2)

        attention.register_forward_pre_hook(note, with_kwargs=True)
        out = attention.c_proj if hasattr(attention, "c_proj") else attention.o_proj
        out.register_forward_pre_hook(lambda module, args: (args[0] + self.added,))


class APrompt(Prompted):
    """Wang et al., 2023. https://aclanthology.org/2023.emnlp-main.567"""

    def begin(self, prompt_len: int, key_value_len: int, query_key_len: int, max_length: int) -> None:
        config = self.config
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        self.prompts, r = prompt_len + key_value_len, query_key_len
        for path, attention in self.attentions():
            width = heads * attention.head_dim
            rows = self.own(f"{path}.aprompt_input", torch.randn(1, prompt_len, self.width))
            keys, values = (self.own(f"{path}.aprompt_{n}", torch.randn(1, key_value_len, width)) for n in ("key", "value"))
            of_queries = self.own(f"{path}.aprompt_query_key.query", torch.zeros(max_length, r))
            of_keys = self.own(f"{path}.aprompt_query_key.key", torch.randn(self.prompts + max_length, r))
            attention.forward = self.forward_of(attention, rows, keys, values, of_queries, of_keys)

    def forward_of(self, attention: nn.Module, rows: nn.Parameter, keys: nn.Parameter, values: nn.Parameter, of_queries: nn.Parameter, of_keys: nn.Parameter) -> Callable:
        def made(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            if hasattr(attention, "c_attn"):
                return attention.c_attn(x).chunk(3, -1)
            return attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

        def forward(hidden_states: torch.Tensor, position_embeddings: tuple | None = None, **given: object) -> tuple:
            batch, n, _ = hidden_states.shape
            q, k, v = map(split, made(hidden_states))
            if position_embeddings is not None:
                q, k = apply_rotary_pos_emb(q, k, *position_embeddings)
            _, row_keys, row_values = map(split, made(rows))
            front = [torch.cat([split(own), of_rows], 2).expand(batch, -1, -1, -1) for own, of_rows in ((keys, row_keys), (values, row_values))]
            k, v = torch.cat([front[0], k], 2), torch.cat([front[1], v], 2)
            k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
            # columns of Q and K are tokens: here rows, which get longer
            longer_q = F.pad(of_queries, (0, 0, 0, max(0, n - len(of_queries))))[:n]
            longer_k = F.pad(of_keys, (0, 0, 0, max(0, self.prompts + n - len(of_keys))))[: self.prompts + n]
            q, k = (torch.cat([t, more.expand(*t.shape[:2], -1, -1)], 3) for t, more in ((q, longer_q), (k, longer_k)))
            seen = torch.ones(n, self.prompts + n).tril(self.prompts)
            scores = (q @ k.transpose(2, 3) / math.sqrt(attention.head_dim)).masked_fill(seen == 0, -torch.inf)
            y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
            return (attention.c_proj if hasattr(attention, "c_proj") else attention.o_proj)(y), None

        return forward


class DePt(Prompted):
    """Shi & Lipani, 2023. https://arxiv.org/abs/2309.05173, https://github.com/ZhengxiangShi/DePT"""

    def begin(self, num_virtual_tokens: int, r: int, lora_alpha: float, max_length: int, pair_rate: float) -> None:
        self.rows = self.own("prompt_embeddings", torch.randn(num_virtual_tokens, self.width))
        self.a = self.own("prompt_encoder.lora_embedding_A", torch.randn(max_length, r))
        self.b = self.own("prompt_encoder.lora_embedding_B", torch.zeros(r, self.width))
        self.scale = lora_alpha / math.sqrt(r)
        self.rates = dict.fromkeys(("prompt_encoder.lora_embedding_A", "prompt_encoder.lora_embedding_B"), pair_rate)

    def front(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows.expand(len(x), -1, -1)

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        update = self.scale * self.a @ self.b
        return x + F.pad(update, (0, 0, 0, max(0, x.shape[1] - len(update))))[: x.shape[1]]


class Attempt(Prompted):
    """Asai, Salehi, Peters & Hajishirzi, 2022. https://arxiv.org/abs/2205.11961, https://github.com/AkariAsai/ATTEMPT"""

    def begin(self, num_virtual_tokens: int, num_sources: int, num_tasks: int, bottleneck_dim: int, temperature: float) -> None:
        m, d = num_virtual_tokens, self.width
        self.sources = self.fixed("source_embeddings", torch.randn(num_sources, m, d))
        self.targets = self.own("prompt_embeddings", torch.randn(num_tasks, m, d))
        self.down = self.own("attn_W_down.weight", torch.randn(bottleneck_dim, d) / 4)
        self.up = self.own("attn_W_up.weight", torch.randn(d, bottleneck_dim) / 4)
        self.norm = [self.own("layer_norm.weight", torch.ones(d)), self.own("layer_norm.bias", torch.zeros(d))]
        self.temperature = temperature

    def front(self, x: torch.Tensor) -> torch.Tensor:
        target = self.targets[-1]
        every = torch.cat([self.sources, target[None]])
        h = F.silu(x.amax(1) @ self.down.T) @ self.up.T
        h = F.layer_norm(h, (self.width,), *self.norm)
        weights = (h @ every.amax(1).T / self.temperature).softmax(-1)
        return torch.einsum("bp,pmd->bmd", weights, every) + target


class Gated(DynamicCache):
    """Keys and values in front of those of each layer, made anew in each pass by `rows`: a layer's number -> keys, values [batch, heads, m, headDim]."""

    def __init__(self, rows: Callable, like: torch.Tensor, layers: int) -> None:
        super().__init__()
        self.rows, self.length = rows, like.shape[2]
        for i in range(layers):
            super().update(torch.zeros_like(like), torch.zeros_like(like), i)

    def update(self, key: torch.Tensor, value: torch.Tensor, layer: int, *how: object, **more: object) -> tuple:
        every = super().update(key, value, layer)
        return tuple(torch.cat([own, t[:, :, self.length :]], 2) for own, t in zip(self.rows(layer), every, strict=True))


class Apt(Prompted):
    """Of decoders, whose gates read the mean of the text. Zhang, Tan, Xu, Wang, Huang & Huang, 2023. https://arxiv.org/abs/2305.15212"""

    def begin(self, num_virtual_tokens: int) -> None:
        config, m = self.config, num_virtual_tokens
        self.heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        self.head_dim = getattr(config, "head_dim", None) or self.width // config.num_attention_heads
        layers = config.num_hidden_layers
        self.rows = self.own("prompt_embeddings", torch.randn(m, layers * 2 * self.heads * self.head_dim))
        self.open = {}
        for i, (path, attention) in enumerate(self.attentions()):
            weight = self.own(f"{path}.apt_gate.weight", 0.2 * torch.randn(m, self.width))
            scale = self.own(f"{path}.apt_scale", torch.ones(1))
            attention.register_forward_pre_hook(self.gate_of(i, weight, scale), with_kwargs=True)

    def gate_of(self, i: int, weight: torch.Tensor, scale: torch.Tensor) -> Callable:
        def note(module: nn.Module, args: tuple, given: dict) -> None:
            x = given["hidden_states"] if "hidden_states" in given else args[0]
            self.open[i] = scale * (x[:, : self.read].mean(1) @ weight.T).sigmoid()

        return note

    def keys_and_values(self, layer: int) -> list[torch.Tensor]:
        m = len(self.rows)
        both = self.rows.view(m, -1, 2, self.heads, self.head_dim)[:, layer].permute(1, 2, 0, 3)
        return [self.open[layer][:, None, :, None] * part[None] for part in both]

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        self.read = read
        like = torch.zeros(len(input_ids), self.heads, len(self.rows), self.head_dim)
        cache = Gated(self.keys_and_values, like, self.config.num_hidden_layers)
        return self.base(input_ids=input_ids, past_key_values=cache).logits


class Idpg(Prompted):
    """Wu et al., 2022. https://arxiv.org/abs/2204.04497, https://github.com/CSerxy/IDPG"""

    def begin(self, num_virtual_tokens: int, bottleneck_dim: int, phm_dim: int | None, generation_dropout: float) -> None:
        self.length = num_virtual_tokens
        self.first = self.projection("generation_dense", self.width, bottleneck_dim, phm_dim)
        self.last = self.projection("generation_out_proj", bottleneck_dim, self.length * self.width, phm_dim)

    def projection(self, name: str, in_dim: int, out_dim: int, n: int | None) -> Callable:
        bias = self.own(f"{name}.bias", torch.zeros(out_dim))
        if n is None:
            weight = self.own(f"{name}.weight", 0.3 * torch.randn(out_dim, in_dim))
            return lambda x: x @ weight.T + bias
        rule = self.own(f"{name}.phm_rule", torch.randn(n, n, n))
        factors = self.own(f"{name}.phm_weight", 0.3 * torch.randn(n, in_dim // n, out_dim // n))
        return lambda x: x @ sum(torch.kron(a, w) for a, w in zip(rule, factors, strict=True)) + bias

    def front(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.gelu(self.first(x.mean(1)))).view(len(x), self.length, self.width)


class InfoPrompt(Prompted):
    """Wu et al., 2023. https://arxiv.org/abs/2306.04933, https://github.com/JoshuaWu1997/InfoPrompt, without chance: z is its mean."""

    def begin(self, num_virtual_tokens: int, n_latent: int, beta: float, gamma: float, prior: float, noise: float) -> None:
        self.length, self.weights = num_virtual_tokens, (gamma, beta, prior)
        d, n = self.width, n_latent
        sizes = dict(prompt_dense=(n, d), prompt_out_proj=(self.length * d, n), latent_mean=(n, d), latent_log_std=(n, d), latent_out=(d, n), latent_context=(d, d))
        for name, (out, into) in sizes.items():
            self.own(f"{name}.weight", torch.randn(out, into) / math.sqrt(into))
            self.own(f"{name}.bias", torch.zeros(out))
        self.stack = self.base.get_decoder()

    def layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def latent(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer("latent_mean", h), self.layer("latent_log_std", h).clamp(-2, 10)

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        x = self.embedding(input_ids)
        given = x[:, :read]
        with torch.no_grad():
            state = self.stack(inputs_embeds=given, use_cache=False).last_hidden_state[:, -1]
        rows = self.layer("prompt_out_proj", F.gelu(self.layer("prompt_dense", state))).unflatten(1, (self.length, -1))
        states = self.stack(inputs_embeds=torch.cat([rows, x], 1), use_cache=False).last_hidden_state[:, self.length :]
        mean, _ = self.latent(states)
        self.seen = given, state, rows, states[:, -1]
        return self.base.lm_head(self.layer("latent_out", mean))

    def penalty(self) -> torch.Tensor:
        given, state, rows, last = self.seen
        batch, scale = len(rows), math.sqrt(self.width)

        def first(scores: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(scores, torch.zeros(batch, dtype=torch.long))

        word = self.base.lm_head.weight.mean(0)
        of_head = first(torch.cat([rows.mean(1, keepdim=True), given], 1) @ word / scale)
        bare, own = self.latent(state), self.latent(last)
        about = self.layer("latent_context", rows.detach()).mean(1)
        score = lambda z: (self.layer("latent_out", z) * about).sum(-1, keepdim=True) / scale
        of_rows = first(torch.cat([score(own[0])] + 4 * batch * [score(bare[0])], 1))
        normal = sum((-s + 0.5 * ((2 * s).exp() + m.square() - 1)).mean() for m, s in (bare, own))
        gamma, beta, prior = self.weights
        return gamma * of_head + beta * of_rows + prior * normal


class Smop(Prompted):
    """Choi, Kim, Kim & Lee, 2023. https://aclanthology.org/2023.emnlp-main.884, https://github.com/jyjohnchoi/SMoP"""

    def begin(self, num_virtual_tokens: int, num_prompts: int, router_noise: float) -> None:
        self.length = num_virtual_tokens
        self.rows = self.own("prompt_embeddings", torch.randn(num_prompts * num_virtual_tokens, self.width))
        self.router = self.own("router.weight", nn.init.orthogonal_(torch.empty(num_prompts, self.width)))

    def front(self, x: torch.Tensor) -> torch.Tensor:
        best, chosen = (x.mean(1) @ self.router.T).softmax(-1).max(-1)
        return best[:, None, None] * self.rows.view(-1, self.length, self.width)[chosen]


class IptSpace(Prompted):
    """Qin et al., 2021. https://arxiv.org/abs/2110.07867, https://github.com/thunlp/Intrinsic-Prompt-Tuning, AE_type 1"""

    def begin(self, source_shape: list[int], intrinsic_dim: int, inner_dim: int, alpha_AE: float) -> None:  # noqa: N803
        _, m, d = self.shape = source_shape
        self.alpha = alpha_AE
        self.sources = self.fixed("source_embeddings", torch.randn(source_shape))
        sizes = {"W1": (intrinsic_dim, m * d), "W2": (inner_dim, intrinsic_dim), "W3": (m * d, inner_dim)}
        for name, (out, into) in sizes.items():
            self.own(f"prompt_{name}.weight", torch.randn(out, into) / math.sqrt(into))
            self.own(f"prompt_{name}.bias", torch.zeros(out))

    def layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"prompt_{name}.weight"], self.tensors[f"prompt_{name}.bias"])

    def front(self, x: torch.Tensor) -> torch.Tensor:
        prompt = self.sources[-1].flatten().expand(len(x), -1)
        self.decoded = self.layer("W3", self.layer("W2", self.layer("W1", prompt)).tanh())
        self.off = self.decoded - prompt
        return self.decoded.view(len(x), *self.shape[1:])

    def penalty(self) -> torch.Tensor:
        return self.off.square().mean() * self.alpha


class Ipt(Prompted):
    """The same, of a code."""

    def begin(self, num_virtual_tokens: int, intrinsic_dim: int, inner_dim: int) -> None:
        out = num_virtual_tokens * self.width
        self.code = self.own("prompt_task.weight", torch.randn(1, intrinsic_dim))
        self.second = [self.fixed("prompt_W2.weight", torch.randn(inner_dim, intrinsic_dim)), self.fixed("prompt_W2.bias", torch.randn(inner_dim))]
        self.third = [self.fixed("prompt_W3.weight", torch.randn(out, inner_dim)), self.fixed("prompt_W3.bias", torch.randn(out))]

    def front(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(self.code, *self.second).tanh(), *self.third).view(1, -1, self.width).expand(len(x), -1, -1)


class Hyperformer(Prompted):
    """Karimi Mahabadi, Ruder, Dehghani & Henderson, 2021. https://arxiv.org/abs/2106.04489, https://github.com/rabeehk/hyperformer"""

    joined, sets = 2, ("feed_forward_", "self_attention_")

    def begin(
        self, num_tasks: int, reduction_factor: int, task_embedding_dim: int, projected_task_embedding_dim: int, task_hidden_dim: int
    ) -> None:
        d, e, p, h = self.width, task_embedding_dim, projected_task_embedding_dim, task_hidden_dim
        self.r = d // reduction_factor
        self.task = self.own("task_embeddings", torch.randn(num_tasks, e))
        self.layer_ids = self.own(self.name("layer_id_embeddings.weight"), torch.randn(self.config.num_hidden_layers, e))
        self.linear("task_hypernet.task_embeding_generator.0", self.joined * e, h)
        self.linear("task_hypernet.task_embeding_generator.2", h, p)
        self.norm = [self.own(self.name("LayerNorm.weight"), torch.ones(p)), self.own(self.name("LayerNorm.bias"), torch.zeros(p))]
        for place in self.sets:
            for name, out, into in (("down", self.r, d), ("up", d, self.r)):
                self.linear(f"{place}{name}_sampler_hyper_net.weight_generator.0", p, out * into)
                self.linear(f"{place}{name}_sampler_hyper_net.bias_generator.0", p, out)
            for part in ("weight", "bias"):
                self.linear(f"{place}post_layernorm_hypernet.{part}_generator", p, d)
        for i, (_, attention) in enumerate(self.attentions()):
            attention.register_forward_hook(lambda m, x, y, i=i: (self.adapted(y[0], i, 1), *y[1:]))
        for i, mlp in enumerate(m for n, m in self.base.named_modules() if n.endswith(".mlp")):
            mlp.register_forward_hook(lambda m, x, y, i=i: self.adapted(y, i, 0))

    @staticmethod
    def name(name: str) -> str:
        return f"adapter_layers_hyper_net.{name}"

    def linear(self, name: str, into: int, out: int) -> None:
        self.own(self.name(f"{name}.weight"), 0.3 * torch.randn(out, into))
        self.own(self.name(f"{name}.bias"), torch.zeros(out))

    def through(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, *(self.tensors[self.name(f"{name}.{part}")] for part in ("weight", "bias")))

    def parts(self, layer: int, place: int) -> list[torch.Tensor]:
        return [self.task[-1], self.layer_ids[layer]]

    def adapted(self, y: torch.Tensor, layer: int, place: int) -> torch.Tensor:
        inner = self.through("task_hypernet.task_embeding_generator.0", torch.cat(self.parts(layer, place))).relu()
        e = F.layer_norm(self.through("task_hypernet.task_embeding_generator.2", inner), self.norm[0].shape, *self.norm, eps=1e-6)
        of = self.sets[place % len(self.sets)]

        def sampler(name: str, x: torch.Tensor, out: int) -> torch.Tensor:
            own = f"{of}{name}_sampler_hyper_net."
            weight = self.through(f"{own}weight_generator.0", e).view(out, -1)
            return F.linear(x, weight, self.through(f"{own}bias_generator.0", e))

        x = sampler("up", F.gelu(sampler("down", y, self.r), approximate="tanh"), self.width)
        norm = [self.through(f"{of}post_layernorm_hypernet.{part}_generator", e) for part in ("weight", "bias")]
        return y + F.layer_norm(x, (self.width,), *norm)


class HyperformerPlusPlus(Hyperformer):
    """The same, with one set of generators."""

    joined, sets = 3, ("",)

    def begin(self, **options: int) -> None:
        self.types = self.own(self.name("adapters_block_type.weight"), torch.randn(2, options["task_embedding_dim"]))
        super().begin(**options)

    def parts(self, layer: int, place: int) -> list[torch.Tensor]:
        return [*super().parts(layer, place), self.types[place]]


class Pha(Prompted):
    """Zhao, Fu & He, 2023. https://arxiv.org/abs/2310.11670; of a decoder alone the retriever reads the base's last states"""

    def begin(self, **options: float) -> None:
        self.network = PhaNetwork(self.own, self.width, self.config.num_hidden_layers, self.width, **options)
        self.adapts = True
        for i, mlp in enumerate(m for n, m in self.base.named_modules() if n.endswith(".mlp")):
            mlp.register_forward_hook(lambda m, x, y, i=i: y + self.network.adapter(x[0], i) if self.adapts else y)

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        self.ids = input_ids
        return super().run(input_ids, read)

    def penalty(self) -> torch.Tensor:
        self.adapts = False
        states = self.base(input_ids=self.ids, output_hidden_states=True).hidden_states[-1]
        self.adapts = True
        return self.network.loss(states.mean(1))


class Tpt(Prompted):
    """Su et al., 2021. https://arxiv.org/abs/2111.06719, https://github.com/thunlp/Prompt-Transferability"""

    def begin(self, source_shape: list[int], inner_dim: int) -> None:
        _, m, width = source_shape
        self.length = m
        self.sources = self.fixed("source_embeddings", torch.randn(source_shape))
        self.project = nn.Sequential(nn.Linear(m * width, inner_dim), nn.LeakyReLU(), nn.Linear(inner_dim, m * self.width))
        self.norm = nn.LayerNorm(self.width)
        for name, module in (("encoder", self.project[0]), ("decoder", self.project[2]), ("layer_norm", self.norm)):
            for part in ("weight", "bias"):
                self.tensors[f"projector.{name}.{part}"] = getattr(module, part)

    def front(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.project(self.sources[-1].flatten()).view(1, self.length, self.width)
        return self.norm(rows).expand(len(x), -1, -1)


class Lpt(Prompted):
    """Liu, Sun, Huang & Qiu, 2022. https://arxiv.org/abs/2210.11292, https://github.com/xyltt/LPT"""

    def begin(self, num_virtual_tokens: int, prompt_layer: int, generator_type: str, bottleneck_dim: int, generator_dropout: float) -> None:
        self.layer = prompt_layer
        self.front = self.generator("", num_virtual_tokens, generator_type, bottleneck_dim)

    def generator(self, prefix: str, m: int, kind: str, h: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """Rows [batch, m, d] of a text's tokens, with the tensors that make them."""
        d = self.width
        if kind == "none":
            rows = self.own(prefix + "prompt_embeddings", torch.randn(m, d))
            return lambda x: rows.expand(len(x), -1, -1)
        name = prefix + "prompt_generator."
        out = m * d if kind == "naive" else d
        down = [self.own(name + "proj_down.weight", torch.randn(h, d) / 4), self.own(name + "proj_down.bias", torch.zeros(h))]
        up = [self.own(name + "proj_up.weight", torch.randn(out, h) / 4), self.own(name + "proj_up.bias", torch.zeros(out))]
        if kind == "naive":
            return lambda x: F.linear(F.linear(x[:, -1], *down).relu(), *up).view(len(x), m, d)
        pool = F.adaptive_avg_pool1d if kind == "average" else F.adaptive_max_pool1d
        return lambda x: F.linear(pool(F.linear(x, *down).transpose(1, 2), m).transpose(1, 2).relu(), *up)

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        model = getattr(self.base, "model", None) or self.base.transformer
        x = self.embedding(input_ids)
        if hasattr(model, "wpe"):
            x = x + model.wpe.weight[: x.shape[1]]
        layers = model.h if hasattr(model, "h") else model.layers
        for layer in layers[: self.layer]:
            x = self.through(model, layer, x, 0)
        rows = self.front(x[:, :read])
        x = torch.cat([rows, x], dim=1)
        for layer in layers[self.layer :]:
            x = self.through(model, layer, x, -rows.shape[1])
        x = (model.ln_f if hasattr(model, "ln_f") else model.norm)(x)
        return self.base.lm_head(x[:, rows.shape[1] :])

    def through(self, model: nn.Module, layer: nn.Module, x: torch.Tensor, first: int) -> torch.Tensor:
        """A layer's output for rows at the positions from `first` on."""
        n = x.shape[1]
        mask = torch.full((n, n), -torch.inf).triu(1)[None, None]
        how = {}
        if hasattr(model, "rotary_emb"):
            how["position_embeddings"] = model.rotary_emb(x, torch.arange(first, first + n)[None])
        y = layer(x, attention_mask=mask, **how)
        return y[0] if isinstance(y, tuple) else y


class Spt(Lpt):
    """Zhu & Tan, 2023. https://aclanthology.org/2023.emnlp-main.727"""

    def begin(
        self, num_virtual_tokens: int, prompt_layers: list[int] | None, generator_type: str = "none", bottleneck_dim: int = 128
    ) -> None:
        self.length, self.chosen = num_virtual_tokens, prompt_layers
        name = "transformer.h" if hasattr(self.base, "transformer") else "model.layers"
        self.rows, self.gates = {}, {}
        for i in prompt_layers or range(self.config.num_hidden_layers):
            self.rows[i] = self.generator(f"{name}.{i}.", num_virtual_tokens, generator_type, bottleneck_dim)
            if prompt_layers is None:
                self.gates[i] = self.own(f"{name}.{i}.prompt_gate", torch.zeros(1))

    def run(self, input_ids: torch.Tensor, read: int) -> torch.Tensor:
        model = getattr(self.base, "model", None) or self.base.transformer
        x = self.embedding(input_ids)
        if hasattr(model, "wpe"):
            x = x + model.wpe.weight[: x.shape[1]]
        front = x[:, :0] if self.chosen else torch.zeros(len(x), self.length, self.width)
        for i, layer in enumerate(model.h if hasattr(model, "h") else model.layers):
            if i in self.rows:
                own = self.rows[i](x[:, :read])
                gate = self.gates[i].sigmoid() if i in self.gates else 1.0
                front = own if front.shape[1] == 0 else (1 - gate) * front + gate * own
            m = front.shape[1]
            y = self.through(model, layer, torch.cat([front, x], dim=1), -m)
            front, x = y[:, :m], y[:, m:]
        return self.base.lm_head((model.ln_f if hasattr(model, "ln_f") else model.norm)(x))


class XPrompt(Prompted):
    """Ma et al., 2022. https://arxiv.org/abs/2210.04457"""

    def begin(
        self, num_virtual_tokens: int, num_pieces: int, tokens_at: int, pieces_at: int, token_share: float, piece_share: float
    ) -> None:
        m = num_virtual_tokens
        self.rows = self.own("prompt_embeddings", torch.randn(m, self.width))
        self.tokens, self.pieces = self.fixed("token_mask", torch.ones(m, 1)), self.fixed("piece_mask", torch.ones(m, num_pieces))
        self.at, self.shares = (tokens_at, pieces_at), (token_share, piece_share)
        self.of_tokens, self.of_pieces = torch.zeros_like(self.tokens), torch.zeros_like(self.pieces)

    def front(self, x: torch.Tensor) -> torch.Tensor:
        self.before = self.rows.detach().clone()
        mask = (self.tokens * self.pieces).repeat_interleave(self.width // self.pieces.shape[1], dim=1)
        return (mask * self.rows).expand(len(x), -1, -1)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        each = (self.before * self.rows.grad).unflatten(1, (self.pieces.shape[1], -1)).sum(-1)
        self.of_tokens += each.sum(1, keepdim=True).abs()
        self.of_pieces += each.abs()
        if step + 1 == self.at[0]:
            self.prune(self.tokens, self.tokens, self.of_tokens, self.shares[0])
            self.stored = self.rows.clone()
            self.of_pieces.zero_()
        if step + 1 == self.at[1]:
            self.prune(self.pieces, self.tokens * self.pieces, self.of_pieces, self.shares[1])
            self.rows.copy_(self.stored)
            for moment in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[self.rows][moment].zero_()

    def prune(self, mask: torch.Tensor, live: torch.Tensor, importance: torch.Tensor, share: float) -> None:
        left = live.flatten().nonzero().flatten()
        gone = left[importance.flatten()[left].argsort()[: int(len(left) * share)]]
        mask *= live
        mask.view(-1)[gone] = 0


METHODS: dict[str, tuple[str, type[Prompted], dict]] = {
    "dept": ("PROMPT_TUNING_LORA", DePt, dict(num_virtual_tokens=5, r=3, lora_alpha=4, max_length=24, pair_rate=0.5)),
    "attempt": (
        "PEFTJS_ATTEMPT",
        Attempt,
        dict(num_virtual_tokens=5, num_sources=3, num_tasks=2, bottleneck_dim=6, temperature=4.0),
    ),
    "apt": ("PEFTJS_APT", Apt, dict(num_virtual_tokens=5)),
    "idpg": ("PEFTJS_IDPG", Idpg, dict(num_virtual_tokens=3, bottleneck_dim=6, phm_dim=None, generation_dropout=0.0)),
    "idpg-phm": ("PEFTJS_IDPG", Idpg, dict(num_virtual_tokens=3, bottleneck_dim=6, phm_dim=2, generation_dropout=0.0)),
    "info-prompt": (
        "PEFTJS_INFO_PROMPT",
        InfoPrompt,
        dict(num_virtual_tokens=3, n_latent=6, beta=0.5, gamma=0.3, prior=0.2, noise=0.0),
    ),
    "smop": ("PEFTJS_SMOP", Smop, dict(num_virtual_tokens=3, num_prompts=3, router_noise=0.0)),
    **{
        f"lpt{'' if kind == 'naive' else f'-{kind}'}": (
            "PEFTJS_LPT",
            Lpt,
            dict(num_virtual_tokens=3, prompt_layer=1, generator_type=kind, bottleneck_dim=6, generator_dropout=0.0),
        )
        for kind in ("naive", "average", "max", "none")
    },
    "ipt-space": (
        "PEFTJS_IPT_SPACE",
        IptSpace,
        dict(source_shape=[2, 3, 16], intrinsic_dim=3, inner_dim=5, alpha_AE=0.5),
    ),
    "ipt": ("PEFTJS_IPT", Ipt, dict(num_virtual_tokens=3, intrinsic_dim=4, inner_dim=5)),
    **{
        f"hyperformer{end}": (
            f"PEFTJS_HYPERFORMER{kind}",
            make,
            dict(num_tasks=2, reduction_factor=8, task_embedding_dim=3, projected_task_embedding_dim=4, task_hidden_dim=5),
        )
        for end, kind, make in (("", "", Hyperformer), ("-plus-plus", "_PLUS_PLUS", HyperformerPlusPlus))
    },
    "pha": ("PEFTJS_PHA", Pha, PHA),
    "tpt": ("PEFTJS_TPT", Tpt, dict(source_shape=[2, 3, 6], inner_dim=5)),
    "xprompt": (
        "PEFTJS_XPROMPT",
        XPrompt,
        dict(num_virtual_tokens=5, num_pieces=4, tokens_at=1, pieces_at=2, token_share=0.4, piece_share=0.5),
    ),
    "spt": ("PEFTJS_SPT", Spt, dict(num_virtual_tokens=3, prompt_layers=None)),
    "spt-generated": (
        "PEFTJS_SPT",
        Spt,
        dict(num_virtual_tokens=3, prompt_layers=None, generator_type="average", bottleneck_dim=5),
    ),
    "spt-chosen": ("PEFTJS_SPT", Spt, dict(num_virtual_tokens=3, prompt_layers=[1])),
    "aprompt": ("PEFTJS_APROMPT", APrompt, dict(prompt_len=3, key_value_len=4, query_key_len=2, max_length=32)),
    "llama-adapter": ("PEFTJS_LLAMA_ADAPTER", LlamaAdapter, dict(adapter_len=4, adapter_layers=2)),
}


# Files of others, whose keys are the names.
AS_THEY_ARE = ("PROMPT_TUNING_LORA",)


# IDPG's gradients in GPT-2 hold values so small that AdamW follows their rounding in whole steps; of LPT's generators one model is enough.
LEFT_OUT = ("gpt2-idpg", *(f"gpt2-lpt-{kind}" for kind in ("average", "max")), "plain-lpt-none", "gpt2-spt-generated")


def key_of(peft_type: str, options: dict, name: str) -> str:
    """The key of a tensor in a file: those of prompts have no name of the model before them."""
    if peft_type in AS_THEY_ARE:
        return name
    return f"base_model.{name}" if "num_virtual_tokens" in options else f"base_model.model.{name}"


def make_golden(base: str, method: str, seed: int = 1) -> None:
    peft_type, make, options = METHODS[method]
    torch.manual_seed(seed)
    model = make(load_model(base).eval().requires_grad_(False), options)
    for parameter in model.tensors.values():
        shake(parameter, 0.2)
    model.ready()
    folder = OUT / f"{base}-{method}"
    params = {key_of(peft_type, options, n): p for n, p in model.tensors.items()}
    held = {key_of(peft_type, options, n): t for n, t in model.held.items()}
    save_tensors(folder / "adapter" / "adapter_model.safetensors", params | held)
    write_json(folder / "adapter" / "adapter_config.json", {"peft_type": peft_type, "task_type": "CAUSAL_LM"} | options, indent=2)
    try:
        groups = [dict(params=[p], lr=LEARNING_RATE * model.rates.get(n, 1.0)) for n, p in model.tensors.items()]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        model.optimizer = optimizer
        golden = record(model, params, after_step=model.after_step, optimizer=optimizer, penalty=model.penalty)
        save_tensors(folder / "golden.safetensors", golden)
    except SystemExit:  # two tokens are almost equally likely
        make_golden(base, method, seed + 1)


def main(names: list[str]) -> None:
    for base in ("plain", "gpt2"):
        for method in METHODS:
            if f"{base}-{method}" not in LEFT_OUT and (not names or f"{base}-{method}" in names):
                make_golden(base, method)


if __name__ == "__main__":
    main(sys.argv[1:])
