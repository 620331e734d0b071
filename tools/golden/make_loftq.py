"""LoftQ of a matrix by Hugging Face PEFT's `loftq_init`, in NF4 and int8, in data/bitsandbytes/loftq.safetensors.

Usage: python make_loftq.py
"""

import inspect
from importlib.metadata import version

import torch
from peft.utils import loftq_utils
from safetensors.torch import save_file

from common import DATA

ROWS, COLUMNS, RANK = 48, 64, 4

# It computes on a GPU alone; this is its text with another device.
exec(inspect.getsource(loftq_utils.loftq_init).replace('"cuda"', '"cpu"'), vars(loftq_utils))

torch.manual_seed(3)
weight = (0.02 * torch.randn(ROWS, COLUMNS) + 0.02 * torch.randn(ROWS, 3) @ torch.randn(3, COLUMNS)).half()
tensors = {"weight": weight}
for bits, rounds in ((4, 1), (4, 5), (8, 1)):
    quantized, a, b = loftq_utils.loftq_init(weight.float(), num_bits=bits, reduced_rank=RANK, num_iter=rounds)
    tensors |= {f"{bits} {rounds} {name}": t.contiguous() for name, t in {"quantized": quantized.half(), "A": a, "B": b}.items()}

# LQ-LoRA's weighted start over an NF4 base, by the formulas of https://github.com/HanGuo97/lq-lora, models/factorizations_utils.py.
fisher = torch.rand(*weight.shape, generator=torch.Generator().manual_seed(1)) ** 4
rows, columns = fisher.mean(1, keepdim=True).sqrt(), fisher.mean(0, keepdim=True).sqrt()
left, values, right = torch.linalg.svd(rows * (weight.float() - tensors["4 1 quantized"]) * columns, full_matrices=False)
roots = values[:RANK].sqrt()
tensors |= {"fisher": fisher, "weighted B": (left[:, :RANK] * roots / rows).contiguous(), "weighted A": (roots[:, None] * right[:RANK] / columns).contiguous()}

save_file(tensors, DATA / "bitsandbytes" / "loftq.safetensors", metadata={name: version(name) for name in ("peft", "bitsandbytes", "torch")})
