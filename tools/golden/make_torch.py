"""Files of `torch.save` in data/io/torch, each with the same tensors as safetensors where it is to be read; and adapters of
data/python as PEFT and adapters write them with `torch.save`, in data/io/adapters.

Usage: python make_torch.py
"""

import collections
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from common import DATA

OUT = DATA / "io" / "torch"
OUT.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)


def save(name: str, tensors, **options) -> None:
    torch.save(tensors, OUT / f"{name}.bin", **options)
    plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(plain, OUT / f"{name}.safetensors")


base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
floats = torch.randn(3, 5)
views = collections.OrderedDict(
    whole=base,
    transposed=base.t(),
    rows=base[1:3],
    columns=base[:, 2:5],
    every_other=base[::2, ::3],
    permuted=base.reshape(2, 3, 4).permute(2, 0, 1),
    expanded=base[0, :1].expand(3, 4),
    scalar=base[2, 3],
    empty=torch.zeros(0, 7),
    one=base[:1, :1].transpose(0, 1),
    parameter=torch.nn.Parameter(floats),
    frozen=torch.nn.Parameter(floats[1], requires_grad=False),
)
types = {
    str(dtype).removeprefix("torch."): torch.tensor([0, 1, 2, 100], dtype=dtype).reshape(2, 2)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64)
}
types |= {str(dtype).removeprefix("torch."): floats.to(dtype).t() for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}
types["bool"] = torch.tensor([True, False, True])
old = {key: value for key, value in types.items() if key not in ("uint16", "uint32", "uint64")}
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))

save("views", views)
save("types", types)
save("state-dict", module.state_dict())
save("protocol-4", dict(types), pickle_protocol=4)
save("legacy", views | old, _use_new_zipfile_serialization=False)
tagged = torch.nn.Parameter(floats.clone())
tagged.note = "kept by torch"
save("attribute", {"tagged": tagged, "plain": floats})

# The same archive with the fields of zip64, as torch writes it above 4 GiB.
limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 0, 0
with zipfile.ZipFile(OUT / "views.bin") as source, zipfile.ZipFile(OUT / "zip64.bin", "w") as target:
    for info in source.infolist():
        with target.open(zipfile.ZipInfo(info.filename), "w", force_zip64=True) as file:
            file.write(source.read(info))
zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits


# What is refused.
class Run:
    def __reduce__(self):
        return os.system, ("touch /tmp/was-run",)


torch.save({"weight": floats, "evil": Run()}, OUT / "refused-code.bin")
torch.save({"weight": floats, "epoch": 3}, OUT / "refused-number.bin")
torch.save({"model": {"weight": floats}}, OUT / "refused-nested.bin")
torch.save([floats], OUT / "refused-list.bin")
torch.save({"sparse": floats.to_sparse()}, OUT / "refused-sparse.bin")
torch.save({"complex": torch.zeros(2, dtype=torch.complex64)}, OUT / "refused-complex.bin")
torch.save({"module": module}, OUT / "refused-module.bin")
torch.save({"quantized": torch.quantize_per_tensor(floats, 0.1, 0, torch.qint8)}, OUT / "refused-quantized.bin")
(OUT / "refused-pickle.bin").write_bytes(pickle.dumps({"weight": [1.0, 2.0]}))
with zipfile.ZipFile(OUT / "views.bin") as source, zipfile.ZipFile(OUT / "refused-compressed.bin", "w", zipfile.ZIP_DEFLATED) as target:
    for info in source.infolist():
        target.writestr(info.filename, source.read(info))

# Adapters: PEFT's by PEFT itself; those of adapters, which calls torch.save on the same tensors.
ADAPTERS = DATA / "io" / "adapters"
shutil.rmtree(ADAPTERS, ignore_errors=True)
model = AutoModelForCausalLM.from_pretrained(DATA / "python" / "models" / "plain")
for name in ("plain-default", "plain-prompt-tuning"):
    adapted = PeftModel.from_pretrained(model, DATA / "python" / name / "adapter")
    adapted.save_pretrained(ADAPTERS / name, safe_serialization=False)
    (ADAPTERS / name / "README.md").unlink(missing_ok=True)
    model = adapted.unload() if name == "plain-default" else model
FILES = {
    "adapter.safetensors": "pytorch_adapter.bin",
    "model_adapter_fusion.safetensors": "pytorch_model_adapter_fusion.bin",
}
for name in ("square-houlsby", "square-adapter-fusion"):
    source = DATA / "python" / name / "adapter"
    for path in sorted(source.rglob("*")):
        target = ADAPTERS / name / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            shutil.copyfile(path, target)
        elif path.name in FILES:
            torch.save(load_file(path), target.with_name(FILES[path.name]))
print(*sorted(f"{Path(path).name} {path.stat().st_size}" for path in OUT.iterdir()), sep="\n")
