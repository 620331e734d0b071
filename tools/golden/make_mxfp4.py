"""A tiny gpt-oss as OpenAI publishes it, its experts in MXFP4 and the rest in bf16, in data/mxfp4/model: its values are packed here, and unpacked by transformers, which reads the folder and
gives the logits of golden.safetensors. And there: blocks at random with every exponent that is safe for every code, and their values by transformers' `convert_moe_packed_tensors`; those of a
layer's experts too; LoRA of PEFT on the experts of that model, in data/mxfp4/adapter, its logits and gradients.

Usage: python make_mxfp4.py
"""

import shutil
from importlib.metadata import version

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM, Mxfp4Config
from transformers.integrations.mxfp4 import FP4_VALUES, convert_moe_packed_tensors
from transformers.utils import logging

from common import DATA, IGNORED, draw_batch, shake, shift, write_json
from peft_methods import save_adapter, shake_all, trainable

logging.set_verbosity_error()
logging.disable_progress_bar()
OUT = DATA / "mxfp4"
VERSIONS = {name: version(name) for name in ("torch", "transformers", "peft")}
BLOCK = 32
# The fields that the published file has, smaller.
CONFIG = dict(
    architectures=["GptOssForCausalLM"], attention_bias=True, attention_dropout=0.0, eos_token_id=2, experts_per_token=2, head_dim=8, hidden_act="silu",
    hidden_size=32, initial_context_length=16, initializer_range=0.3, intermediate_size=64, layer_types=["sliding_attention", "full_attention"],
    max_position_embeddings=64, model_type="gpt_oss", num_attention_heads=4, num_experts_per_tok=2, num_hidden_layers=2, num_key_value_heads=2,
    num_local_experts=3, output_router_logits=False, pad_token_id=0,
    quantization_config=dict(
        modules_to_not_convert=["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"], quant_method="mxfp4",
    ),
    rms_norm_eps=1e-05, rope_scaling=dict(beta_fast=1.5, beta_slow=0.25, factor=4.0, original_max_position_embeddings=16, rope_type="yarn", truncate=False),
    rope_theta=100, router_aux_loss_coef=0.9, sliding_window=6, swiglu_limit=7.0, tie_word_embeddings=False, transformers_version="4.55.0.dev0", use_cache=True,
    vocab_size=29,
)  # fmt: skip


def pack(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks [experts, out, groups, 16] and exponents [experts, out, groups] of matrices [experts, out, in]: the largest magnitude of a block lies between 4 and 8 times its power of two."""
    grouped = weight.detach().float().numpy().reshape(*weight.shape[:-1], -1, BLOCK)
    exponent = np.floor(np.log2(np.abs(grouped).max(-1))).astype(np.int64) - 2
    scaled = grouped / np.exp2(exponent)[..., None]
    codes = np.abs(scaled[..., None] - np.array(FP4_VALUES)).argmin(-1).astype(np.uint8)
    # What rounds to 0 from below is −0.
    codes[(codes == 0) & (scaled < 0)] = 8
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return torch.from_numpy(blocks), torch.from_numpy((exponent + 127).astype(np.uint8))


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "model").mkdir(parents=True)
    torch.manual_seed(0)
    model = GptOssForCausalLM(GptOssConfig(**{k: v for k, v in CONFIG.items() if k != "quantization_config"})).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("norm.weight", "bias", "sinks")):
            shake(parameter, 0.2)
    tensors = {}
    for name, t in model.state_dict().items():
        if name.endswith(("gate_up_proj", "down_proj")):
            tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = pack(t.transpose(1, 2).contiguous())
        else:
            tensors[name] = t.bfloat16().contiguous()
    save_file(tensors, OUT / "model/model.safetensors", metadata={"format": "pt"})
    write_json(OUT / "model/config.json", CONFIG, indent=1)

    read = AutoModelForCausalLM.from_pretrained(OUT / "model", dtype=torch.float32, quantization_config=Mxfp4Config(dequantize=True)).eval()
    down = "model.layers.1.mlp.experts.down_proj"
    values = convert_moe_packed_tensors(tensors[f"{down}_blocks"], tensors[f"{down}_scales"], dtype=torch.float32)
    if not torch.equal(read.state_dict()[down], values):
        raise SystemExit("transformers reads other values than it unpacks")
    ids, _ = draw_batch(CONFIG["vocab_size"])
    with torch.no_grad():
        logits = read(input_ids=ids).logits

    adapted = get_peft_model(read, LoraConfig(
        r=2, lora_alpha=3, task_type="CAUSAL_LM", target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    )).eval()
    params = trainable(adapted)
    shake_all(params)
    save_adapter(adapted, "gpt-oss-mxfp4", OUT / "adapter")
    labels = ids.clone()
    labels[:, :2] = IGNORED
    out = adapted(input_ids=ids, labels=labels)
    out.loss.backward()
    peft = {"labels": shift(labels).int(), "adapted logits": out.logits.detach().contiguous()} | {
        f"gradient {name}": p.grad.contiguous() for name, p in params.items()
    }

    rng = np.random.default_rng(0)
    blocks = torch.from_numpy(rng.integers(0, 256, (2, 16, 8, BLOCK // 2)).astype(np.uint8))
    # 252 is the largest with which 6 is finite.
    scales = torch.from_numpy((np.arange(2 * 16 * 8) % 253).astype(np.uint8).reshape(2, 16, 8))
    save_file(
        {
            "ids": ids.int(), "logits": logits.contiguous(), "down": values.bfloat16(), "odd_blocks": blocks, "odd_scales": scales,
            # [experts, in, out]
            **peft, "odd": convert_moe_packed_tensors(blocks, scales, dtype=torch.float32),
        },
        OUT / "golden.safetensors",
        metadata=VERSIONS,
    )  # fmt: skip


main()
