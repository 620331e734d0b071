"""What llama.cpp's `gguf` package makes of GGML's blocks, in data/ggml/blocks.safetensors: values of bytes, and bytes of values.

Usage: python make_ggml.py
"""

import importlib.metadata

import numpy as np
import torch
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.torch import save_file

from common import DATA

TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4".split()
TYPES += "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S".split()
# Where f16 scales lie in a block: random bits there would be infinite or far apart.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
    "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
    "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
}  # fmt: skip
ROWS, VALUES = 2, 512

rng = np.random.default_rng(0)
weight = (0.02 * rng.standard_normal((ROWS, VALUES))).astype(np.float16).astype(np.float32)
weight[0, 32:64] = 0
tensors = {"weight": torch.from_numpy(weight)}
for name in TYPES:
    kind = GGMLQuantizationType[name]
    size, width = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS * VALUES // size, width)).astype(np.uint8)
    for place in HALVES[name]:
        blocks[:, place : place + 2] = rng.normal(0, 0.1, (len(blocks), 1)).astype(np.float16).view(np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = rng.integers(100, 140, len(blocks))
        blocks[:3, 0] = [0, 1, 2]
    if name == "NVFP4":
        blocks[:, :4] &= 0x7F
    if name == "TQ1_0":
        # Bytes that stand for five digits of base 3.
        digits = rng.integers(0, 243, (len(blocks), 52))
        blocks[:, :52] = ((digits * 256 + 242) // 243).astype(np.uint8)
        blocks[:, 48:52] = ((rng.integers(0, 81, (len(blocks), 4)) * 3 * 256 + 242) // 243).astype(np.uint8)
    if name == "TQ2_0":
        # 3 is no digit.
        pairs = rng.integers(0, 3, (len(blocks), 64, 4)).astype(np.uint8)
        blocks[:, :64] = pairs[..., 0] | pairs[..., 1] << 2 | pairs[..., 2] << 4 | pairs[..., 3] << 6
    if name == "IQ1_M":
        # The f16 lies in the upper bits of four words.
        half = rng.normal(0, 0.1, len(blocks)).astype(np.float16).view(np.uint16)
        for i in range(4):
            blocks[:, 49 + 2 * i] = (blocks[:, 49 + 2 * i] & 0x0F) | ((half >> (4 * i)) & 15).astype(np.uint8) << 4
    raw = blocks.reshape(ROWS, -1)
    tensors[f"{name}.bytes"] = torch.from_numpy(raw)
    tensors[f"{name}.values"] = torch.from_numpy(quants.dequantize(raw, kind))
    try:
        packed = quants.quantize(weight, kind)
    except NotImplementedError:
        continue
    tensors[f"{name}.packed"] = torch.from_numpy(packed)
path = DATA / "ggml" / "blocks.safetensors"
path.parent.mkdir(parents=True, exist_ok=True)
save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"gguf": importlib.metadata.version("gguf")})
