"""Prompts that no library has, written here in PyTorch from the papers and their authors' code: goldens of them, in data/python.

A `Prompted` is the frozen model and the method's own tensors, by the names that our files have for them. Adapters are written as we write them, with a
type of our own.

Usage: python own_prompts.py [NAME ...], where a name is plain-llama-adapter; all without one.
"""

import math
import sys
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from common import IGNORED, LEARNING_RATE, OUT, record, save_tensors, shake, write_json
from models import load_model


class Prompted:
    """A frozen decoder whose sequences have rows [batch, m, d] in front of their embedded tokens."""

    def __init__(self, base: nn.Module, options: dict) -> None:
        self.base, self.config, self.tensors, self.held = base, base.config, {}, {}
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

    def __call__(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> SimpleNamespace:
        x = self.embedding(input_ids)
        rows = self.front(x)
        every = torch.cat([rows, self.inside(x)], dim=1)
        logits = self.base(inputs_embeds=every, use_cache=False).logits[:, rows.shape[1] :]
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        return SimpleNamespace(logits=logits, loss=loss)

    @torch.no_grad()
    def generate(self, input_ids: torch.Tensor, max_new_tokens: int, **how: object) -> SimpleNamespace:
        """The likeliest tokens. A prompt that depends on its text is that of the text that is continued."""
        rows, steps = self.front(self.embedding(input_ids)), []
        for _ in range(max_new_tokens):
            every = torch.cat([rows, self.inside(self.embedding(input_ids))], dim=1)
            steps.append(self.base(inputs_embeds=every, use_cache=False).logits[:, -1])
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


METHODS: dict[str, tuple[str, type[Prompted], dict]] = {
    "llama-adapter": ("PEFTJS_LLAMA_ADAPTER", LlamaAdapter, dict(adapter_len=4, adapter_layers=2)),
}


def make_golden(base: str, method: str, seed: int = 1) -> None:
    peft_type, make, options = METHODS[method]
    torch.manual_seed(seed)
    model = make(load_model(base).eval().requires_grad_(False), options)
    for parameter in model.tensors.values():
        shake(parameter, 0.2)
    model.ready()
    folder = OUT / f"{base}-{method}"
    params = {f"base_model.model.{n}": p for n, p in model.tensors.items()}
    held = {f"base_model.model.{n}": t for n, t in model.held.items()}
    save_tensors(folder / "adapter" / "adapter_model.safetensors", params | held)
    write_json(folder / "adapter" / "adapter_config.json", {"peft_type": peft_type, "task_type": "CAUSAL_LM"} | options, indent=2)
    try:
        optimizer = torch.optim.AdamW(params.values(), lr=LEARNING_RATE, weight_decay=0.0)
        golden = record(model, params, after_step=model.after_step, optimizer=optimizer, penalty=model.penalty)
        save_tensors(folder / "golden.safetensors", golden)
    except SystemExit:  # two tokens are almost equally likely
        make_golden(base, method, seed + 1)


def main(names: list[str]) -> None:
    for base in ("plain", "gpt2"):
        for method in METHODS:
            if not names or f"{base}-{method}" in names:
                make_golden(base, method)


if __name__ == "__main__":
    main(sys.argv[1:])
