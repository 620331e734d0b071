"""Records the posterior that Laplace-LoRA makes of a tiny classifier and of a tiny decoder with PEFT's LoRA, in data/python/laplace.safetensors:
marginal likelihoods, the best prior, and of further rows logits, their covariance and probabilities. Written from the paper and its authors' code,
https://arxiv.org/abs/2308.13111, https://github.com/adamxyang/laplace-lora, in f64 by whole matrices: precisions are formed, inverted and their determinants
taken, Jacobians are autograd's by row and class.

Usage: python make_laplace.py
"""

import math

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

from common import OUT, save_tensors
from families import FAMILIES, LABELS, load_model
from models import VOCABULARY

# Tokens that are answers of the decoder.
ANSWERS = [3, 7, 11, 20]
PRIORS = torch.tensor([1e-2, 0.3, 10.0, 1e3], dtype=torch.float64)
KEPT = 3

Batch = dict[str, torch.Tensor]
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]


def draw(rows: int, length: int, hidden: list[int], seed: int) -> Batch:
    """Ids and a mask; `hidden` says how many tokens of each row are padding, on the left."""
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    for row, count in enumerate(hidden):
        mask[row, :count] = 0
    return {"input_ids": ids, "attention_mask": mask}


def logits_of(model: nn.Module, batch: Batch, classes: list[int] | None) -> torch.Tensor:
    logits = model(**batch).logits
    return logits if classes is None else logits[:, -1, classes]


def lora_linears(model: nn.Module) -> dict[str, nn.Linear]:
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            for factor in ("lora_A", "lora_B"):
                found[f"{name.removeprefix('base_model.model.')}.{factor}.weight"] = getattr(module, factor)["default"]
    return found


def factors_of(model: nn.Module, data: list[Batch], classes: list[int] | None) -> Factors:
    """The mean of aaᵀ and the sum over rows and classes of p(y)·ggᵀ, of the rows that padding leaves."""
    linears = lora_linears(model)
    seen: dict[str, torch.Tensor] = {}
    grads: dict[str, torch.Tensor] = {}

    def watch(name: str, module: nn.Linear):
        def hook(_module, inputs, output):
            seen[name] = inputs[0].detach()
            output.register_hook(lambda g: grads.__setitem__(name, g))

        return module.register_forward_hook(hook)

    hooks = [watch(name, module) for name, module in linears.items()]
    sums = {n: [torch.zeros(m.in_features, m.in_features, dtype=torch.float64), torch.zeros(m.out_features, m.out_features, dtype=torch.float64), 0] for n, m in linears.items()}
    for batch in data:
        rows = batch["attention_mask"].bool()
        for y in range(len(classes or range(LABELS))):
            logits = logits_of(model, batch, classes)
            log_p = logits.log_softmax(-1)
            log_p[:, y].sum().backward()
            for name in linears:
                # Each example has the weight of the label that was drawn; its own rows alone have gradients of it.
                g = grads[name] * log_p[:, y].detach().exp()[:, None, None] ** 0.5
                sums[name][1] += torch.einsum("bti,btj->ij", g, g)
        for name in linears:
            a = seen[name][rows]
            sums[name][0] += a.T @ a
            sums[name][2] += len(a)
    for hook in hooks:
        hook.remove()
    return {name: (a / count, g) for name, (a, g, count) in sums.items()}


def low_rank(matrix: torch.Tensor, count: int) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors[:, -count:] * values[-count:]) @ vectors[:, -count:].T


def cut(factors: Factors) -> Factors:
    """With the leading eigenpairs alone of the inputs of A and the outputs of B."""
    return {
        name: (low_rank(a, KEPT), g) if "lora_A" in name else (a, low_rank(g, KEPT)) for name, (a, g) in factors.items()
    }


def evidence(factors: Factors, log_likelihood: torch.Tensor, norm: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    total = log_likelihood - 0.5 * prior * norm
    for a, g in factors.values():
        h = torch.kron(g, a)
        total = total - 0.5 * (torch.linalg.slogdet(h + prior * torch.eye(len(h)))[1] - len(h) * prior.log())
    return total


def best_prior(factors: Factors, log_likelihood: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """By gradients of its logarithm, as the authors find it, but until it stays."""
    log_prior = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_prior], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -evidence(factors, log_likelihood, norm, log_prior.exp())
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_prior.detach().exp()


def covariance(model: nn.Module, factors: Factors, batch: Batch, classes: list[int] | None, prior: torch.Tensor) -> torch.Tensor:
    linears = lora_linears(model)
    inverses = {n: torch.linalg.inv(torch.kron(g, a) + prior * torch.eye(len(a) * len(g))) for n, (a, g) in factors.items()}
    logits = logits_of(model, batch, classes)
    found = torch.zeros(*logits.shape, logits.shape[1], dtype=torch.float64)
    for row in range(len(logits)):
        jacobians = [torch.autograd.grad(z, [m.weight for m in linears.values()], retain_graph=True) for z in logits[row]]
        for i, one in enumerate(jacobians):
            for j, other in enumerate(jacobians):
                found[row, i, j] = sum(a.flatten() @ inverses[n] @ b.flatten() for n, a, b in zip(linears, one, other, strict=True))
    return found


def record(name: str, adapter: str, classes: list[int] | None) -> dict[str, torch.Tensor]:
    model = PeftModel.from_pretrained(load_model(name), FAMILIES / name / adapter / "adapter", is_trainable=True).eval().double()
    data = [draw(4, 9, [0, 2, 0, 4], 1), draw(3, 6, [0, 0, 1], 2)]
    further = draw(3, 8, [0, 3, 0], 3)
    golden = {f"further {key}": t.int() for key, t in further.items()}
    log_likelihood = torch.zeros((), dtype=torch.float64)
    for number, batch in enumerate(data):
        wanted = torch.randint(len(classes or range(LABELS)), (len(batch["input_ids"]),), generator=torch.Generator().manual_seed(number))
        log_p = logits_of(model, batch, classes).log_softmax(-1).detach()
        log_likelihood += log_p[torch.arange(len(wanted)), wanted].sum()
        golden |= {f"{number} {key}": t.int() for key, t in batch.items()} | {f"{number} wanted": wanted.int()}
    norm = sum(m.weight.detach().square().sum() for m in lora_linears(model).values())
    whole = factors_of(model, data, classes)
    logits = logits_of(model, further, classes).detach()
    golden |= {"logits": logits, "log likelihood": log_likelihood[None], "norm": norm[None]}
    for kind, factors in (("whole", whole), ("kept", cut(whole))):
        prior = best_prior(factors, log_likelihood, norm)
        cov = covariance(model, factors, further, classes, prior)
        scaled = logits / (1 + math.pi / 8 * cov.diagonal(dim1=1, dim2=2)).sqrt()
        golden |= {
            f"{kind} prior": prior[None],
            f"{kind} evidence": torch.stack([evidence(factors, log_likelihood, norm, p) for p in [*PRIORS, prior]]),
            f"{kind} covariance": cov,
            f"{kind} probit": scaled.softmax(-1),
        }
    return {f"{name} {key}": t.float() if t.is_floating_point() else t for key, t in golden.items()}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    tensors = record("bert-sequence", "lora", None) | record("qwen2-causal", "lora", ANSWERS)
    save_tensors(OUT / "laplace.safetensors", tensors | {"priors": PRIORS.float()})


if __name__ == "__main__":
    main()
