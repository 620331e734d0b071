"""Runs authors' code of methods beside what is written in this folder from their papers, on the same values, and tells how far they are apart.

Usage: python check_authors.py FOLDER, with checkouts in it of JieShibo/PETL-ViT, FasterDecoding/BitDelta, HanGuo97/lq-lora, yuhuixu1993/qa-lora, microsoft/AdaMix, liuqidong07/MOELoRA-peft,
ChaosCodes/ProPETL, AkariAsai/ATTEMPT, rabeehk/hyperformer, Bumble666/PHA, ZhangYuanhan-AI/NOAH, sail-sg/lorahub, cambridgeltl/autopeft and sidak/otfusion (`pip install scipy POT==0.9.6 ConfigSpace==0.7.2`, which some of them read).
Parts of these need CUDA or other libraries: those that compute a method are run, by their text, with nothing changed but what is named here.
"""

import copy
import math
import sys
import warnings
from pathlib import Path
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from authors import parts
from authors_search import CHECKS as SEARCHED
from authors_shared import CHECKS as SHARED
from common import DATA
from own_methods import AdaMix, BitDelta, MoeLora, TopShare
from own_vision import normal_levels

LIMIT = 1e-5


def binary_adapter(root: Path) -> float:
    """BI-Adapter's layers of 1, 2 and 4 bits: outputs, and gradients that go straight through."""
    import numpy
    from scipy.stats import norm

    QLinear = parts(root / "PETL-ViT/binary_adapter/utils.py", "QLinear", nn=nn, F=F, torch=torch, np=numpy, norm=norm)["QLinear"]
    worst = 0.0
    for bits in (1, 2, 4):
        theirs = QLinear(24, 5, bits)
        levels, bounds = normal_levels(bits)
        weight = theirs.weight.detach().clone().requires_grad_(True)
        standard = (weight - weight.mean()) / (weight.std() + 1e-5)
        nearest = levels[torch.bucketize(standard.detach(), bounds)]
        ours = (nearest - standard.detach() + standard) * weight.std() + weight.mean()
        x = torch.randn(7, 24)
        a, b = theirs(x), x @ ours.T
        a.square().sum().backward()
        b.square().sum().backward()
        worst = max(worst, (a - b).abs().max().item(), (theirs.weight.grad - weight.grad).abs().max().item() / weight.grad.abs().max().item())
    return worst


def bit_delta(root: Path) -> float:
    """BitDelta's layer of a base and a fine-tuned weight. Its product is a kernel of CUDA's: here as its comment has it, of what it unpacks."""
    packing = parts(root / "BitDelta/bitdelta/binary_gemm_kernel.py", "pack", "unpack", torch=torch)
    product = lambda x, mask: x @ (2.0 * packing["unpack"](mask).float() - 1)  # noqa: E731
    BinaryDiff = parts(root / "BitDelta/bitdelta/diff.py", "BinaryDiff", nn=nn, torch=torch, pack=packing["pack"], binary_bmm=product)["BinaryDiff"]
    base = nn.Linear(64, 24, bias=False)
    ours = BitDelta(base, dict(keeps_rest=False))
    change = ours.sign * (0.5 + torch.rand(24, 64))
    theirs = BinaryDiff(base.weight.detach(), base.weight.detach() + change)
    ours.scale.data = change.abs().mean().reshape(1)
    x = torch.randn(2, 7, 64)
    return (theirs(x) - ours(x)).abs().max().item()


def lq_lora(root: Path) -> float:
    """The product that LQ-LoRA begins with where weights count by their Fisher information."""
    weighted = parts(root / "lq-lora/models/factorizations_utils.py", "svd_decomposition", "weighted_svd_decomposition", torch=torch, Tuple=Tuple, Optional=Optional)
    golden = load_file(DATA / "bitsandbytes" / "loftq.safetensors")
    lost = golden["weight"].float() - golden["4 1 quantized"].float()
    b, a = weighted["weighted_svd_decomposition"](lost, golden["fisher"], None, False, 4)
    return ((b @ a) - golden["weighted B"] @ golden["weighted A"]).abs().max().item() / lost.abs().max().item()


def qa_lora(root: Path) -> float:
    """QA-LoRA's update: means of groups by A, by B, by a scale, so one column of B·A for all of a group. Hugging Face PEFT's, which ours is, is that times the number of groups."""
    text = (root / "qa-lora/peft_utils.py").read_text()
    assert "torch.nn.AvgPool1d(group_size)" in text and "lora_B(lora_A(lora_dropout(self.qa_pool(x)))) * scale" in text
    group, x, a, b = 4, torch.randn(3, 24), torch.randn(5, 6), torch.randn(7, 5)
    theirs = nn.AvgPool1d(group)(x) @ a.T @ b.T
    whole = (b @ a).repeat_interleave(group, dim=1) / group
    return (theirs - x @ whole.T).abs().max().item()


def adamix(root: Path) -> float:
    """AdaMix's layer of GPT-2 in evaluation, with copies of both matrices and with one A."""
    space = parts(
        root / "AdaMix/NLG/loralib/layers.py", "LoRALayer", "MergedLinear", "AdamixMergedLinear", nn=nn, F=F, torch=torch, math=math, copy=copy, List=List, Optional=Optional
    )
    worst = 0.0
    for share in (0, 1):
        theirs = space["AdamixMergedLinear"](
            num_experts=3, share_A=share, share_B=0, in_features=16, out_features=24, r=4, lora_alpha=6, enable_lora=[True], merge_weights=False
        )
        for copies in (theirs.experts_lora_A, theirs.experts_lora_B):
            for one in copies:
                nn.init.normal_(one)
        theirs.eval()
        base = nn.Linear(16, 24)
        base.load_state_dict({"weight": theirs.weight, "bias": theirs.bias})
        ours = AdaMix(base, dict(r=4, lora_alpha=6, n_experts=3, share_A=share == 1, share_B=False, consistency=0.0, lora_dropout=0.0))
        ours.lora_A.data, ours.lora_B.data = (torch.stack([one.data for one in copies]) for copies in (theirs.experts_lora_A, theirs.experts_lora_B))
        x = torch.randn(2, 7, 16)
        worst = max(worst, (theirs(x) - ours(x)).abs().max().item())
    return worst


def moelora(root: Path) -> float:
    """MOELoRA's layer, whose gate reads the vector of the task."""
    folder = root / "MOELoRA-peft/src/MLoRA/peft/tuners"
    layer = parts(folder / "lora.py", "LoraLayer", nn=nn, torch=torch)["LoraLayer"]
    names = ("MMOELoraLayer", "MMOELoraLinear", "MMOELinearA", "MMOELinearB", "Expert", "Gate")
    space = parts(folder / "mmoelora.py", *names, nn=nn, F=F, torch=torch, warnings=warnings, LoraLayer=layer, transpose=lambda w, turned: w.T if turned else w)
    theirs = space["MMOELoraLinear"]("own", 16, 24, r=6, lora_alpha=5, expert_num=3, task_num=2, task_embedding_dim=4)
    options = dict(r=6, lora_alpha=5, expert_num=3, task_num=2, task_embedding_dim=4, lora_dropout=0.0)
    base = nn.Linear(16, 24)
    base.load_state_dict({"weight": theirs.weight, "bias": theirs.bias})
    ours = MoeLora(base, options)
    for parameter in theirs.lora_B.parameters():
        nn.init.normal_(parameter)
    ours.lora_A.data = torch.cat([one.mlp.weight.data for one in theirs.lora_A["own"].loraA])
    ours.lora_B.data = torch.cat([one.mlp.weight.data for one in theirs.lora_B["own"].loraB], dim=1)
    ours.lora_task_embedding.data = theirs.lora_task_embedding["own"].weight.data[:2]
    ours.lora_gate.data = theirs.lora_gate["own"].GateL.weight.data
    x = torch.randn(2, 7, 16)
    return (theirs(x, task_id=torch.tensor([0])) - ours(x)).abs().max().item()


def propetl(root: Path) -> float:
    """ProPETL's masks: those of the largest scores, and gradients that go straight through."""
    GetSubnet = parts(root / "ProPETL/propetl-roberta/src/transformers/adapters/modeling.py", "GetSubnet", autograd=torch.autograd, torch=torch)["GetSubnet"]
    scores = torch.randn(6, 11, requires_grad=True)
    way = torch.randn(6, 11)
    both = [function.apply(scores.abs(), 0.4) for function in (GetSubnet, TopShare)]
    gradients = [torch.autograd.grad((mask * way).sum(), scores)[0] for mask in both]
    return max((a - b).abs().max().item() for a, b in (both, gradients))


def main(root: Path) -> None:
    torch.manual_seed(0)
    for check in (binary_adapter, bit_delta, lq_lora, qa_lora, adamix, moelora, propetl, *SHARED, *SEARCHED):
        apart = check(root)
        print(f"{check.__name__}: {apart:.1e}")
        if not apart < LIMIT:
            raise SystemExit(f"{check.__name__} is further apart than {LIMIT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
