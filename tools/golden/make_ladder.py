"""Records how LST prunes the layers of its side network from the base's, in data/python/ladder.safetensors: weights of a tiny Llama's side network, by the weights and by Fisher information of three texts.

Sung, Cho & Bansal, 2022. https://arxiv.org/abs/2206.06522, https://github.com/ylsung/Ladder-Side-Tuning, `seq2seq/pruning/pruning_methods.py`: `pruning_without_residual`, version 2.

Usage: python make_ladder.py
"""

import torch
from torch import nn

from common import OUT, draw_batch, save_tensors, shift
from models import VOCABULARY, load_model

REDUCTION = 2


def best(importance: torch.Tensor, count: int) -> torch.Tensor:
    sums = importance.abs().sum(1)
    return sums.argsort(stable=True)[len(sums) - count :].sort().values


def prune(model: nn.Module, importance: dict[str, torch.Tensor], sizes: dict[str, int]) -> dict[str, torch.Tensor]:
    """The chain of indices from layer to layer."""
    weights = {n: p.detach() for n, p in model.named_parameters()}
    kept: dict[str, torch.Tensor] = {}
    stream = best(weights["model.embed_tokens.weight"].T, sizes["stream"])

    def step(block: str, names: list[str], read: torch.Tensor, count: dict[str, int]) -> dict[str, torch.Tensor]:
        full = {n: f"{block}.{n}.weight" for n in names}
        left = {n: importance[f][:, read] for n, f in full.items()}
        if len({x.shape for x in left.values()}) == 1:
            product = torch.stack(list(left.values())).prod(0)
            rows = {n: best(product, count[n]) for n in names}
        else:
            rows = {n: best(left[n], count[n]) for n in names}
        kept.update({full[n]: weights[full[n]][rows[n]][:, read] for n in names})
        return rows

    for i in range(model.config.num_hidden_layers):
        block = f"model.layers.{i}"
        kept[f"{block}.input_layernorm.weight"] = weights[f"{block}.input_layernorm.weight"][stream]
        queries = step(block, [f"self_attn.{n}_proj" for n in "qkv"], stream, sizes)["self_attn.q_proj"]
        stream = step(block, ["self_attn.o_proj"], queries, sizes)["self_attn.o_proj"]
        kept[f"{block}.post_attention_layernorm.weight"] = weights[f"{block}.post_attention_layernorm.weight"][stream]
        inner = step(block, ["mlp.gate_proj", "mlp.up_proj"], stream, sizes)["mlp.up_proj"]
        stream = step(block, ["mlp.down_proj"], inner, sizes)["mlp.down_proj"]
    kept["model.norm.weight"] = weights["model.norm.weight"][stream]
    return kept


def main() -> None:
    model = load_model("plain").eval()
    config = model.config
    head = 2 * round(config.head_dim / 2 / REDUCTION + 1e-9)
    inner = config.intermediate_size // REDUCTION
    sizes = {"stream": config.hidden_size // REDUCTION, "mlp.gate_proj": inner, "mlp.up_proj": inner}
    sizes |= {"self_attn.o_proj": sizes["stream"], "mlp.down_proj": sizes["stream"]}
    sizes |= {"self_attn.q_proj": config.num_attention_heads * head}
    sizes |= {f"self_attn.{n}_proj": config.num_key_value_heads * head for n in "kv"}
    ids, targets = draw_batch(VOCABULARY)
    tensors = {"ids": ids.int(), "labels": shift(targets)}
    plain = {n: p.detach() for n, p in model.named_parameters()}
    for p in model.parameters():
        p.requires_grad_(True)
    fisher = {n: torch.zeros_like(p) for n, p in plain.items()}
    for i in range(len(ids)):
        model.zero_grad()
        model(input_ids=ids[i : i + 1], labels=targets[i : i + 1]).loss.backward()
        for n, p in model.named_parameters():
            fisher[n] += p.grad**2
    for by, importance in (("weights", plain), ("fisher", fisher)):
        tensors |= {f"{by} {n}": t.contiguous() for n, t in prune(model, importance, sizes).items()}
    save_tensors(OUT / "ladder.safetensors", tensors)


if __name__ == "__main__":
    main()
