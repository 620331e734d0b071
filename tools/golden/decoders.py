"""The tiny decoders: a row for each family, with the fields in which it differs from the others, and targets of LoRA on it where they are not PEFT's own."""

import transformers

from models import ROPE, SIZES

# Classes of configs whose name begins otherwise than that of their models.
CONFIGS = {"Gemma3": "Gemma3Text"}

BASE = {**SIZES, "pad_token_id": 0, "rope_parameters": ROPE}

# Name: class of transformers, fields of its config, targets.
DECODERS = {
    "llama-linear-causal": ("Llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=2.5)), None),
    "qwen2-yarn-causal": ("Qwen2", dict(head_dim=16, hidden_size=64, num_hidden_layers=1, rope_parameters=dict(
        rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=16, beta_fast=1.5, beta_slow=0.25,
    )), None),
    "gemma3-causal": ("Gemma3", dict(num_hidden_layers=3, sliding_window=6, sliding_window_pattern=2, query_pre_attn_scalar=3, rope_parameters=dict(
        full_attention=dict(rope_type="linear", rope_theta=100.0, factor=2.0),
        sliding_attention=dict(rope_type="default", rope_theta=20.0),
    )), None),
    "qwen2-causal": ("Qwen2", {}, None),
    "qwen3-causal": ("Qwen3", dict(tie_word_embeddings=True), None),
    "mistral-causal": ("Mistral", dict(sliding_window=5), None),
    "qwen2-window-causal": ("Qwen2", dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1), "all-linear"),
    "gemma-causal": ("Gemma", {}, None),
    "gemma2-causal": ("Gemma2", dict(
        num_hidden_layers=3, sliding_window=7, query_pre_attn_scalar=3, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
    ), None),
    "smollm3-causal": ("SmolLM3", dict(num_hidden_layers=3, no_rope_layer_interval=2, mlp_bias=True), ["q_proj", "down_proj"]),
    "olmo2-causal": ("Olmo2", {}, "all-linear"),
    "granite-causal": ("Granite", dict(
        embedding_multiplier=1.5, residual_multiplier=0.7, attention_multiplier=0.3, logits_scaling=2.0, mlp_bias=True,
    ), ["q_proj", "o_proj", "lm_head"]),
}


def decoder(stem: str, fields: dict) -> tuple[type, object]:
    config = getattr(transformers, f"{CONFIGS.get(stem, stem)}Config")(**BASE | fields)
    return getattr(transformers, f"{stem}ForCausalLM"), config
