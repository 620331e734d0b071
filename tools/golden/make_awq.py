"""The scales that autoawq's search gives the inputs of a matrix, without its second factor (`duo_scaling`), in data/rounding/awq.safetensors. The matrix and the inputs are those of gptq.safetensors.

Usage: python make_awq.py
"""

import sys
import types
from importlib.metadata import distribution, version

import torch
from safetensors.torch import load_file, save_file

from common import DATA

# One module of the package, with the names that it imports of others, which want an older transformers.
for name in ("awq", "awq.quantize", "awq.quantize.scale", "awq.utils.calib_data", "awq.utils.module", "awq.utils.utils", "awq.utils", "awq.modules", "awq.modules.linear"):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [str(distribution("autoawq").locate_file(name.replace(".", "/")))]
    module.__getattr__ = lambda attribute: lambda *args, **kwargs: "cpu"
from awq.quantize.quantizer import AwqQuantizer  # noqa: E402

tensors = load_file(DATA / "rounding" / "gptq.safetensors")
weight, inputs = tensors["weight"].float(), tensors["inputs"].float()
found = {}
for bits in (3, 4):
    quantizer = object.__new__(AwqQuantizer)
    vars(quantizer).update(group_size=16, w_bit=bits, zero_point=True, duo_scaling=False, max_chunk_memory=2**30, n_parallel_calib_samples=None)
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    output = layer(inputs).detach()
    with torch.no_grad():
        found[f"{bits}"] = quantizer._compute_best_scale(inputs, torch.ones(weight.shape[1]), inputs.abs().mean(0), layer, [layer], output)
    print(found[f"{bits}"][:8])
save_file(found, DATA / "rounding" / "awq.safetensors", metadata={"autoawq": version("autoawq"), "torch": torch.__version__})
