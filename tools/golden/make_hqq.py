"""A matrix by the authors' code of HQQ (hqq 0.2.8.post1, in f32), in data/rounding/hqq.safetensors.

Usage: python make_hqq.py
"""

from importlib.metadata import version

import torch
from hqq.core.quantize import Quantizer
from safetensors.torch import load_file, save_file

from common import DATA

GROUP = 32
path = DATA / "bitsandbytes"
weight = load_file(path / "nf4.safetensors")["weight"][:64]
# Without the row of zeros, whose range is below 1e-4, and with some values far out.
weight = torch.cat([weight[:3], weight[4:]])
weight[::5, 7] *= 8
tensors = {"weight": weight}
for bits in (2, 3, 4, 8):
    codes, meta = Quantizer.quantize(
        weight.float(), nbits=bits, group_size=GROUP, axis=1, round_zero=bits == 4, bitpack=False, device="cpu", compute_dtype=torch.float32
    )
    values = (codes - meta["zero"]) * meta["scale"]
    tensors[f"{bits}"] = values.reshape(weight.shape).contiguous()
save_file(tensors, DATA / "rounding" / "hqq.safetensors", metadata={"hqq": version("hqq"), "torch": torch.__version__})
