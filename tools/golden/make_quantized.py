"""Tiny decoders as quantised checkpoints of Hugging Face, packed by the libraries that make such, with the logits of their dequantised weights, in
data/quantized/<name>: bitsandbytes by transformers, GPTQ by auto-gptq's pack (v2: with its zero points as they are), AWQ by autoawq's. And what bitsandbytes makes of the matrix of
nf4.safetensors in FP4 and int8, in data/bitsandbytes/fp4-int8.safetensors.

Usage: python make_quantized.py
"""

import shutil
import sys
import types
from importlib.metadata import distribution, version

import bitsandbytes.functional as F
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from common import DATA, draw_batch, write_json

# Of both packages one module each, without what they import of an older transformers.
for name in ("auto_gptq", "auto_gptq.nn_modules", "auto_gptq.nn_modules.qlinear", "awq", "awq.modules", "awq.modules.linear"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(distribution(name.split(".")[0].replace("awq", "autoawq")).locate_file(name.replace(".", "/")))]
from auto_gptq.nn_modules.qlinear import qlinear_cuda as gptq  # noqa: E402
from auto_gptq.nn_modules.qlinear import qlinear_cuda_old as gptq_old  # noqa: E402
from awq.modules.linear import gemm as awq  # noqa: E402

logging.set_verbosity_error()
logging.disable_progress_bar()
OUT = DATA / "quantized"
VOCABULARY = 29
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, initializer_range=0.2, bos_token_id=1, eos_token_id=None, tie_word_embeddings=True,
)  # fmt: skip
GROUP = 32


def fresh(**changes) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES | changes)).eval()


def linears(model: torch.nn.Module):
    return [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and name != "lm_head"]


@torch.no_grad()
def record(name: str, model: torch.nn.Module) -> None:
    ids, _ = draw_batch(VOCABULARY)
    save_file({"ids": ids.int(), "logits": model(input_ids=ids).logits.contiguous()}, OUT / name / "golden.safetensors", metadata=VERSIONS)


def dequantized(weight: torch.Tensor, state: F.QuantState) -> torch.Tensor:
    """By bitsandbytes' own definition: its kernel for the CPU takes the wrong scales where blocks cross rows."""
    absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
    return _dequantize_4bit_compute(weight.reshape(-1), absmax, state.code, state.blocksize, state.shape, torch.float32)


def bitsandbytes(name: str, changes: dict = {}, **options) -> None:
    """The logits are those of dequantised weights: its products on the CPU are in bf16, or round their inputs too."""
    plain = OUT / "plain"
    fresh(**changes).save_pretrained(plain)
    quantization = BitsAndBytesConfig(**options)
    quantized = AutoModelForCausalLM.from_pretrained(plain, quantization_config=quantization, dtype=torch.float32, device_map="cpu")
    quantized.save_pretrained(OUT / name)
    (OUT / name / "generation_config.json").unlink()
    model = fresh(**changes)
    layers = dict(linears(quantized))
    for path, layer in linears(model):
        weight = layers[path].weight
        if "load_in_8bit" in options:
            layer.weight.data = F.int8_vectorwise_dequant(weight.data, weight.SCB)
        else:
            layer.weight.data = dequantized(weight.data, weight.quant_state)
    record(name, model)
    shutil.rmtree(plain)


def affine(weight: torch.Tensor, bits: int, group: int, symmetric: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point of each group, as GPTQ's quantizer finds them: [out, groups]."""
    grouped = weight.reshape(weight.shape[0], -1, group)
    least, most = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    if symmetric:
        most = torch.maximum(least.abs(), most)
        least = -most
    scale = ((most - least) / (2**bits - 1)).half().float()
    zero = torch.full_like(scale, 2 ** (bits - 1)) if symmetric else torch.round(-least / scale).clamp(1, 2**bits - 1)
    return scale, zero


@torch.no_grad()
def packed(name: str, method: str, bits: int, *, symmetric=False, act_order=False, v2=False, group=GROUP) -> None:
    model = fresh()
    tensors = {n: t for n, t in model.state_dict().items() if n != "lm_head.weight"}
    for path, layer in linears(model):
        weight = layer.weight.data
        rows, columns = weight.shape
        size = columns if group == -1 else group
        order = torch.randperm(columns) if act_order else torch.arange(columns)
        scale, zero = affine(weight[:, order], bits, size, symmetric)
        place = torch.argsort(order) // size  # the group of each column
        level = lambda t: t[:, place]
        codes = torch.round(weight / level(scale) + level(zero)).clamp(0, 2**bits - 1)
        layer.weight.data = (codes - level(zero)) * level(scale)
        if method == "gptq":
            module = (gptq if act_order else gptq_old).QuantLinear(bits, group, columns, rows, False)
            module.pack(layer, scale.clone(), zero.clone(), place.int())
            # Its scales take the weight's type.
            own = {"qweight": module.qweight, "qzeros": module.qzeros, "scales": module.scales.half(), "g_idx": place.int()}
            if v2:
                again = gptq_old.QuantLinear(bits, group, columns, rows, False)
                again.pack(layer, scale.clone(), zero.clone() + 1, place.int())
                own["qzeros"] = again.qzeros
        else:
            module = awq.WQLinear_GEMM.from_linear(layer, bits, group, scales=scale.t().contiguous(), zeros=zero.t().contiguous())
            own = {"qweight": module.qweight, "qzeros": module.qzeros, "scales": module.scales}
        del tensors[f"{path}.weight"]
        tensors |= {f"{path}.{key}": t.contiguous() for key, t in own.items()}
    (OUT / name).mkdir(parents=True)
    save_file(tensors, OUT / name / "model.safetensors", metadata={"format": "pt"})
    config = {"quant_method": method, "bits": bits, "group_size": group}
    if method == "gptq":
        config |= {"desc_act": act_order, "sym": symmetric, "checkpoint_format": "gptq_v2" if v2 else "gptq"}
    else:
        config |= {"zero_point": True, "version": "gemm", "modules_to_not_convert": None}
    write_json(OUT / name / "config.json", model.config.to_dict() | {"quantization_config": config}, indent=1)
    record(name, model)


VERSIONS = {name: version(name) for name in ("torch", "transformers", "bitsandbytes", "auto-gptq", "autoawq")}


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    bitsandbytes("bnb-nf4", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    # 80 is no whole number of blocks of 64: some cross rows.
    bitsandbytes("bnb-fp4", load_in_4bit=True, bnb_4bit_quant_type="fp4", changes={"intermediate_size": 80})
    bitsandbytes("bnb-nf4-crossing", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, changes={"intermediate_size": 80})
    bitsandbytes("bnb-int8", load_in_8bit=True)
    for bits in (2, 3, 4, 8):
        packed(f"gptq-{bits}", "gptq", bits)
    packed("gptq-sym", "gptq", 4, symmetric=True, group=-1)
    packed("gptq-act-order", "gptq", 4, act_order=True)
    packed("gptq-v2", "gptq", 4, v2=True)
    packed("awq", "awq", 4)

    path = DATA / "bitsandbytes"
    weight = load_file(path / "nf4.safetensors")["weight"]
    codes, state = F.quantize_4bit(weight.float(), blocksize=64, quant_type="fp4", compress_statistics=False)
    whole, scales, _ = F.int8_vectorwise_quant(weight)
    save_file(
        {"fp4": codes.reshape(weight.shape[0], -1), "absmax": state.absmax, "levels": state.code, "int8": whole, "SCB": scales},
        path / "fp4-int8.safetensors",
        metadata=VERSIONS,
    )


main()
