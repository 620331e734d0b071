"""Goldens of the composition blocks of the adapters library."""

import torch
from adapters import LoRAConfig
from adapters.composition import AdapterCompositionBlock, Average, BatchSplit, Fuse, Parallel, Split, Stack

from adapters_methods import METHODS, aliases, load_with_adapters, make_folder, trainable
from common import draw_batch, record, save_tensors, shake
from models import VOCABULARY

BASE = "square"
BOTTLENECK = METHODS["pfeiffer"]
LORA = LoRAConfig(r=2, alpha=3, attn_matrices=["q"])
BLOCKS = {
    "blocks-average": (Average("a", "b", weights=[1, 3]), BOTTLENECK),
    "blocks-average-lora": (Average("a", "b", weights=[1, 3]), LORA),
    "blocks-batch-split": (BatchSplit(Stack("a", "b"), "c", batch_sizes=[1, 1]), METHODS["houlsby"]),
    "blocks-fuse": (Stack("a", Fuse("b", "c")), BOTTLENECK),
    "blocks-parallel": (Parallel("a", Stack("b", "c")), METHODS["houlsby"]),
    "blocks-split": (Stack("a", Split("b", "c", splits=[15, 25])), BOTTLENECK),
}
# Those that take a batch of one size, or sequences of one length.
BOUND = ("blocks-batch-split", "blocks-parallel", "blocks-split")


class Repeated(torch.nn.Module):
    """A model that repeats its inputs itself, as one that is given them repeated: the same row twice."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> object:
        return self.model(input_ids=input_ids[:1], labels=labels)


def fusions(block: AdapterCompositionBlock) -> list[Fuse]:
    inner = [fusion for child in block if isinstance(child, AdapterCompositionBlock) for fusion in fusions(child)]
    return [block, *inner] if isinstance(block, Fuse) else inner


def make_block(name: str, block: AdapterCompositionBlock, config: object) -> None:
    torch.manual_seed(1)
    model = load_with_adapters(BASE)
    for adapter in sorted(block.flatten()):
        model.add_adapter(adapter, config=config)
    # Its `train_adapter` takes no blocks in blocks, so what is trained is said by hand.
    model.requires_grad_(False)
    for fusion in fusions(block):
        model.add_adapter_fusion(fusion, "static")
    model.set_active_adapters(block)
    model.eval()
    fused = [f".{adapter}." for fusion in fusions(block) for adapter in fusion.flatten()]
    for key, parameter in aliases(model).items():
        if ".adapters." in key or ".loras." in key or ".adapter_fusion_layer." in key:
            parameter.requires_grad = ".adapters." not in key or not any(adapter in key for adapter in fused)
            shake(parameter, 0.2)
    out = make_folder(BASE, name)
    model.save_adapter_setup(str(out / "adapter"), block, use_safetensors=True)
    for head in [*(out / "adapter").glob("*/model_head.safetensors"), *(out / "adapter").glob("*/head_config.json")]:
        head.unlink()
    batch = tuple(rows[:1].repeat(2, 1) for rows in draw_batch(VOCABULARY)) if name == "blocks-parallel" else None
    run = Repeated(model) if name == "blocks-parallel" else model
    save_tensors(
        out / "golden.safetensors",
        record(run, trainable(model), greedy=name not in BOUND, epsilon=1e-4, batch=batch),
    )


def make_blocks(names: list[str]) -> None:
    for name, (block, config) in BLOCKS.items():
        if not names or f"{BASE}-{name}" in names:
            make_block(name, block, config)
