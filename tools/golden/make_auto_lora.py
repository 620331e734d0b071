"""Records three steps of AutoLoRA's search on a tiny decoder, from PEFT's LoRA, in data/python/auto-lora.safetensors: the numbers that weigh components after
each step, and A and B in the end. Written from the authors' code, https://github.com/ruz048/AutoLoRA (its `run_glue_search.py` and the part of Betty that it
runs: hypergradients of type darts, and parameters that are rolled back), in f64.

Usage: python make_auto_lora.py
"""

import torch
from peft import PeftModel
from torch.func import functional_call

from common import OUT, save_tensors
from families import FAMILIES, load_model
from make_laplace import draw

NAME = "qwen2-causal"
STEPS, RATE, SELECTION_RATE = 3, 1e-2, 0.05


def main() -> None:
    torch.set_default_dtype(torch.float64)
    model = PeftModel.from_pretrained(load_model(NAME), FAMILIES / NAME / "lora" / "adapter", is_trainable=True).eval().double()
    weights = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters() if p.requires_grad}
    layers = sorted({n.split(".lora_")[0] for n in weights})
    rank = model.peft_config["default"].r
    selection = {layer: torch.ones(rank, requires_grad=True) for layer in layers}
    data = {kind: [draw(2, 8, [0, 0], 10 * i + s) for s in range(2)] for i, kind in enumerate(("train", "validation"))}

    def loss_of(w: dict[str, torch.Tensor], c: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]) -> torch.Tensor:
        used = {n: p * c[n.split(".lora_")[0]].softmax(0) if ".lora_B." in n else p for n, p in w.items()}
        return functional_call(model, used, kwargs={**batch, "labels": batch["input_ids"]}).loss

    def gradients(w, c, batch):
        loss = loss_of(w, c, batch)
        found = torch.autograd.grad(loss, [*w.values(), *c.values()])
        return loss, dict(zip(w, found)), dict(zip(c, found[len(w) :]))

    def with_grads(values: dict[str, torch.Tensor], grads: dict[str, torch.Tensor]) -> None:
        for name, p in values.items():
            p.grad = grads[name]

    inner = torch.optim.Adam(weights.values(), lr=RATE)
    outer = torch.optim.Adam(selection.values(), lr=SELECTION_RATE, betas=(0.5, 0.999))
    golden = {f"start {n}": p.detach().clone() for n, p in weights.items()}
    losses = []
    for step in range(STEPS):
        seen, unseen = data["train"][step % 2], data["validation"][step % 2]
        kept, state = {n: p.detach().clone() for n, p in weights.items()}, inner.state_dict()
        state = {**state, "state": {k: {n: v.clone() for n, v in s.items()} for k, s in state["state"].items()}}
        with_grads(weights, gradients(weights, selection, seen)[1])
        inner.step()
        loss, v, direct = gradients(weights, selection, unseen)
        losses.append(loss.detach())
        eps = 0.01 / (torch.sqrt(sum(g.square().sum() for g in v.values())) + 1e-15)
        moved = lambda by: {n: (p + by * v[n]).detach().requires_grad_() for n, p in weights.items()}
        above, below = (gradients(moved(by), selection, seen)[2] for by in (eps, -eps))
        with_grads(selection, {n: g + (below[n] - above[n]) / (2 * eps) for n, g in direct.items()})
        outer.step()
        with torch.no_grad():
            for n, p in weights.items():
                p.copy_(kept[n])
        inner.load_state_dict(state)
        with_grads(weights, gradients(weights, selection, seen)[1])
        inner.step()
        golden |= {f"{step} {n}": c.detach().clone() for n, c in selection.items()}
    golden |= {f"end {n}": p for n, p in weights.items()} | {"losses": torch.stack(losses)}
    ids = {f"{kind} {i}": b["input_ids"].int() for kind, all_ in data.items() for i, b in enumerate(all_)}
    alpha = torch.tensor([float(model.peft_config["default"].lora_alpha)])
    short = {n.replace("base_model.model.", "").replace(".default", ""): t for n, t in golden.items()}
    save_tensors(OUT / "auto-lora.safetensors", {n: t.detach().float() for n, t in (short | {"alpha": alpha}).items()} | ids)


if __name__ == "__main__":
    main()
