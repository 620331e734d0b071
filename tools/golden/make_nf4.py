"""What bitsandbytes makes of a matrix in NF4, plain and with double quantisation, in data/bitsandbytes/nf4.safetensors.

Usage: python make_nf4.py
"""

import bitsandbytes
import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file

from common import DATA

ROWS, COLUMNS, BLOCK = 300, 64, 64

torch.manual_seed(0)
# Halves, so that the file is small; one block of zeros; more than one group of 256 scales.
values = (0.02 * torch.randn(ROWS, COLUMNS)).half()
values[3] = 0
weight = values.float()
codes, plain = F.quantize_4bit(weight, blocksize=BLOCK, quant_type="nf4", compress_statistics=False)
_, packed = F.quantize_4bit(weight, blocksize=BLOCK, quant_type="nf4", compress_statistics=True)
path = DATA / "bitsandbytes" / "nf4.safetensors"
path.parent.mkdir(parents=True, exist_ok=True)
save_file(
    {
        "weight": values,
        "codes": codes.reshape(ROWS, COLUMNS // 2),
        "absmax": plain.absmax,
        "levels": plain.code,
        "scale_codes": packed.absmax,
        "scale": packed.state2.absmax,
        "scale_levels": packed.state2.code,
        "offset": packed.offset.reshape(1),
        "dequantized": F.dequantize_4bit(codes, packed)[:40].contiguous(),
    },
    path,
    metadata={"bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__},
)
