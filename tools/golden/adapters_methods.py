"""Goldens of the methods of the adapters library."""

import json
import shutil
from pathlib import Path

import adapters
import torch
from adapters import (
    AdapterPlusConfig, BnConfig, CompacterConfig, CompacterPlusPlusConfig, DiReftConfig, DoRAConfig, DoubleSeqBnConfig, DoubleSeqBnInvConfig, IA3Config, LoRAConfig, LoReftConfig, MAMConfig, MTLLoRAConfig, NoReftConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig, SeqBnInvConfig, UniPELTConfig,
)
from adapters.composition import Fuse
from safetensors.torch import load_file

from common import OUT, record, save_tensors, shake, write_json
from models import load_model

PREFIX = dict(prefix_length=5, bottleneck_size=6)
METHODS = {
    "houlsby": DoubleSeqBnConfig(reduction_factor=4),
    "pfeiffer": SeqBnConfig(reduction_factor=4),
    "parallel-adapter": ParBnConfig(),
    "parallel-adapter-learned": ParBnConfig(scaling="learned"),
    # The library wants torchvision for a depth that only training has.
    "adapter-plus": AdapterPlusConfig(reduction_factor=4, stochastic_depth=0.0),
    # Both norms of its own, sums that hold each of them, a width by layer and a trained nonlinearity.
    "bottleneck-adapter": BnConfig(
        mh_adapter=True, output_adapter=True, reduction_factor={"0": 8, "default": 4}, non_linearity="prelu",
        original_ln_before=True, residual_before_ln=False, ln_before=True, ln_after=True,
        adapter_residual_before_ln=True, scaling="channel", init_weights="houlsby",
    ),
    "bottleneck-adapter-beside": BnConfig(
        mh_adapter=True, output_adapter=False, reduction_factor=4, non_linearity="mish", is_parallel=True, ln_after=True,
        original_ln_after=False,
    ),
    "compacter": CompacterConfig(reduction_factor=4, phm_dim=2, phm_rank=2),
    "compacter-plus-plus": CompacterPlusPlusConfig(reduction_factor=2, phm_init_range=0.01),
    "compacter-own-rules": CompacterPlusPlusConfig(
        reduction_factor=4, phm_dim=2, factorized_phm_W=False, shared_phm_rule=False, learn_phm=True
    ),
    "loreft": LoReftConfig(r=3, tied_weights=True),
    "noreft": NoReftConfig(r=2, prefix_positions=2, suffix_positions=4, non_linearity="gelu"),
    "direft": DiReftConfig(r=2, layers=[1], tied_weights=True, suffix_positions=2),
    "mad-x": SeqBnInvConfig(reduction_factor=4),
    "mad-x-houlsby": DoubleSeqBnInvConfig(reduction_factor=4, inv_adapter_reduction_factor=3),
    "prefix-tuning-adapters": PrefixTuningConfig(**PREFIX),
    "prefix-tuning-adapters-flat": PrefixTuningConfig(flat=True, prefix_length=5),
    "prefix-tuning-adapters-gates": PrefixTuningConfig(prefix_length=3, bottleneck_size=4, use_gating=True, shared_gating=False, leave_out=[0]),
    "mam": MAMConfig(PrefixTuningConfig(**PREFIX)),
    "unipelt": UniPELTConfig(
        PrefixTuningConfig(**PREFIX), SeqBnConfig(reduction_factor=4), LoRAConfig(r=4, alpha=2)
    ),
    "ia3-adapters": IA3Config(),
    "lora-adapters": LoRAConfig(r=4, alpha=6),
    "ia3-adapters-wide": IA3Config(attn_matrices=["q"], output_lora=True, intermediate_lora=False, leave_out=[1], alpha=2),
    "dora-adapters": DoRAConfig(r=3, alpha=5, attn_matrices=["q", "v"], output_lora=True),
    "lora-adapters-wide": LoRAConfig(r=2, alpha=5, attn_matrices=["k"], intermediate_lora=True, output_lora=True, leave_out=[0]),
    "mtl-lora-adapters": MTLLoRAConfig(r=4, alpha=6, n_up_projection=3, weights_sharpness=0.7),
}
FUSED = ("a", "b")
BASES = ("square", "gpt2")

# The first seed that leaves no close decision among tokens.
SEEDS = {("square", "mad-x-houlsby"): 2}


def load_with_adapters(base: str) -> torch.nn.Module:
    # With another kind of attention this library forgets the causal mask behind a prefix.
    model = load_model(base, attention="eager")
    # Its attention of Llama knows the cache by a name that transformers no longer uses, and so would see the last token alone.
    model.generation_config.use_cache = False
    adapters.init(model)

    def inverted(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (model.base_model.invertible_adapters_forward(inputs[0], rev=True),)

    # As the heads of the library do it, which are not those of transformers' models.
    model.get_output_embeddings().register_forward_pre_hook(inverted)
    return model


def aliases(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return dict(model.named_parameters(remove_duplicate=False))


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Each once, by its first name: every layer has the pool of prefixes as its own too."""
    own = {n: p for n, p in aliases(model).items() if p.requires_grad and ".pool." not in n}
    first = {}
    for name, parameter in own.items():
        first.setdefault(id(parameter), name)
    return {name: own[name] for name in first.values()}


def save_adapter(model: torch.nn.Module, folder: Path) -> None:
    """As the library does, whose safetensors refuse aliases: each becomes a tensor of its own, which its loader takes."""
    model.save_adapter(str(folder), "default", with_head=False, use_safetensors=False)
    pickled = folder / "pytorch_adapter.bin"
    save_tensors(folder / "adapter.safetensors", torch.load(pickled, weights_only=True))
    pickled.unlink()


def make_folder(base: str, method: str) -> Path:
    folder = OUT / f"{base}-{method}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def load_adapter(base: str, folder: Path) -> torch.nn.Module:
    """Insists that the library takes the adapter's tensors and no others. Of tensors that it has under several names one
    name is enough."""
    model = load_with_adapters(base)
    own = set(model.state_dict())
    if (folder / "adapter_setup.json").exists():
        model.load_adapter_setup(str(folder), set_active=True, use_safetensors=True)
    else:
        model.load_adapter(str(folder), with_head=False, set_active=True, use_safetensors=True)
    given = {n: t for file in folder.rglob("*.safetensors") for n, t in load_file(file).items()}
    loaded = {n: t for n, t in model.state_dict().items() if n not in own}
    if odd := given.keys() - loaded.keys():
        raise SystemExit(f"{folder}: unexpected: {', '.join(sorted(odd))}")
    places = {loaded[name].data_ptr() for name in given}
    if odd := [name for name, tensor in loaded.items() if tensor.data_ptr() not in places]:
        raise SystemExit(f"{folder}: missing: {', '.join(sorted(odd))}")
    if odd := [name for name, tensor in given.items() if not torch.equal(loaded[name], tensor)]:
        raise SystemExit(f"{folder}: loaded with other values: {', '.join(sorted(odd))}")
    return model.eval()


def make_method(base: str, method: str, config: object) -> None:
    torch.manual_seed(SEEDS.get((base, method), 1))
    model = load_with_adapters(base)
    model.add_adapter("default", config=config)
    model.train_adapter("default")
    model.eval()
    params = trainable(model)
    for name, parameter in params.items():
        shake(parameter, 0.2)
        if name.endswith(".parametrizations.weight.original"):  # its diagonal holds frozen signs
            parameter.data.fill_diagonal_(-1.0)
    out = make_folder(base, method)
    save_adapter(model, out / "adapter")
    if method == "direft":
        # The library's file does not say it.
        path = out / "adapter" / "adapter_config.json"
        saved = json.loads(path.read_text())
        saved["config"]["subtract_projection"] = False
        write_json(path, saved, indent=2)
    # What sees all tokens that are given at once is another function with a cache.
    save_tensors(out / "golden.safetensors", record(model, params, greedy=method not in ("unipelt", "noreft", "direft", "prefix-tuning-adapters-gates")))


def make_fusion(base: str) -> None:
    torch.manual_seed(SEEDS.get((base, "adapter-fusion"), 1))
    model = load_with_adapters(base)
    for name in FUSED:
        model.add_adapter(name, config=METHODS["pfeiffer"])
    fuse = Fuse(*FUSED)
    model.add_adapter_fusion(fuse, "dynamic")
    model.train_adapter_fusion(fuse)
    model.eval()
    for name, parameter in aliases(model).items():
        if ".adapters." in name or parameter.requires_grad:
            shake(parameter, 0.2)
    out = make_folder(base, "adapter-fusion")
    model.save_adapter_setup(str(out / "adapter"), fuse, use_safetensors=True)
    for name in FUSED:
        for head in ("model_head.safetensors", "head_config.json"):
            (out / "adapter" / name / head).unlink()
    save_tensors(out / "golden.safetensors", record(model, trainable(model), epsilon=1e-4))


@torch.no_grad()
def require_same_base(base: str) -> None:
    recorded = load_file(OUT / "base-logits.safetensors")
    logits = load_model(base, attention="eager")(input_ids=recorded["ids"].long()).logits
    if (distance := (logits - recorded[base]).abs().max()) > 1e-5:
        raise SystemExit(f"{base} computes something else with this version of transformers: {distance} away")


def make_adapters_methods(names: list[str]) -> None:
    for base in BASES:
        require_same_base(base)
        for method, config in METHODS.items():
            if not names or f"{base}-{method}" in names:
                make_method(base, method, config)
        if not names or f"{base}-adapter-fusion" in names:
            make_fusion(base)
