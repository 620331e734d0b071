"""A matrix rounded by the authors' code of GPTQ, in data/rounding/gptq.safetensors.

Usage: python make_gptq.py CHECKOUT (of https://github.com/IST-DASLab/gptq)
"""

import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
from gptq import GPTQ, Quantizer  # noqa: E402

from common import DATA  # noqa: E402

ROWS, COLUMNS, GROUP = 24, 64, 16

torch.cuda.synchronize = lambda: None
torch.cuda.empty_cache = lambda: None
torch.manual_seed(0)
weight = (0.05 * torch.randn(ROWS, COLUMNS)).half()
# Inputs that go together, of unlike sizes, and one that is always 0.
inputs = ((torch.randn(160, 20) @ torch.randn(20, COLUMNS) + 0.5 * torch.randn(160, COLUMNS)) * torch.rand(COLUMNS)).half()
inputs[:, 5] = 0
tensors = {"weight": weight, "inputs": inputs}
for bits in (2, 3, 4):
    for act_order in (False, True):
        layer = torch.nn.Linear(COLUMNS, ROWS, bias=False)
        layer.weight.data = weight.float()
        quantizer = GPTQ(layer)
        quantizer.quantizer = Quantizer()
        quantizer.quantizer.configure(bits, perchannel=True, sym=False)
        quantizer.add_batch(inputs.float(), None)
        # In blocks of a group: in larger ones it takes the ranges of groups from weights that rounding has not reached yet.
        quantizer.fasterquant(blocksize=GROUP, groupsize=GROUP, actorder=act_order)
        tensors[f"{bits}{' act-order' if act_order else ''}"] = layer.weight.data.clone()
save_file(tensors, DATA / "rounding" / "gptq.safetensors", metadata={"torch": torch.__version__})
