"""The tiny decoders: a row for each family, with the fields in which it differs from the others, and targets of LoRA on it where they are not PEFT's own."""

import copy

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
    # The cap is in the config alone.
    "gemma3-causal": ("Gemma3", dict(num_hidden_layers=3, sliding_window=6, sliding_window_pattern=2, query_pre_attn_scalar=3, attn_logit_softcapping=0.5, rope_parameters=dict(
        full_attention=dict(rope_type="linear", rope_theta=100.0, factor=2.0),
        sliding_attention=dict(rope_type="default", rope_theta=20.0),
    )), None),
    "qwen2-causal": ("Qwen2", {}, None),
    "qwen3-causal": ("Qwen3", dict(tie_word_embeddings=True), None),
    "qwen3-window-causal": ("Qwen3", dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1), "all-linear"),
    "mistral-causal": ("Mistral", dict(sliding_window=5), None),
    "qwen2-window-causal": ("Qwen2", dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1), "all-linear"),
    "mixtral-causal": ("Mixtral", dict(
        sliding_window=7, num_local_experts=4, num_experts_per_tok=2, output_router_logits=True, router_aux_loss_coef=0.05,
    ), ["q_proj", "v_proj"]),
    "qwen2-moe-causal": ("Qwen2Moe", dict(
        num_experts=5, num_experts_per_tok=2, moe_intermediate_size=12, shared_expert_intermediate_size=14, mlp_only_layers=[1],
    ), ["k_proj", "o_proj", "shared_expert_gate"]),
    "qwen3-moe-causal": ("Qwen3Moe", dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=8, norm_topk_prob=True), ["q_proj", "o_proj"]),
    # The last layer sees all; the bounds of the experts' gates matter.
    "gpt-oss-causal": ("GptOss", dict(
        sliding_window=6, num_local_experts=5, num_experts_per_tok=2, swiglu_alpha=1.3, swiglu_limit=0.8, rope_parameters=dict(
            rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=16, beta_fast=1.5, beta_slow=0.25, truncate=False,
        ),
    ), ["q_proj", "k_proj", "o_proj"]),
    "gemma-causal": ("Gemma", {}, None),
    "gemma2-causal": ("Gemma2", dict(
        num_hidden_layers=3, sliding_window=7, query_pre_attn_scalar=3, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
    ), None),
    "smollm3-causal": ("SmolLM3", dict(num_hidden_layers=3, no_rope_layer_interval=2, mlp_bias=True, use_sliding_window=True, sliding_window=6), ["q_proj", "down_proj"]),
    "olmo2-causal": ("Olmo2", {}, "all-linear"),
    "olmo3-causal": ("Olmo3", dict(num_hidden_layers=4, sliding_window=6, rope_parameters=dict(
        full_attention=dict(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=16, beta_fast=1.5, beta_slow=0.25, attention_factor=1.25, truncate=True),
        sliding_attention=dict(rope_type="default", rope_theta=20.0),
    )), ["q_proj", "o_proj", "down_proj"]),
    "starcoder2-causal": ("Starcoder2", dict(head_dim=None, num_attention_heads=2, sliding_window=7, norm_epsilon=1e-3), ["k_proj", "c_fc", "c_proj"]),
    "cohere2-causal": ("Cohere2", dict(
        head_dim=None, num_attention_heads=2, num_hidden_layers=3, sliding_window=6, sliding_window_pattern=2, logit_scale=0.4, layer_norm_eps=1e-3,
    ), ["q_proj", "k_proj", "down_proj"]),
    "phi3-causal": ("Phi3", dict(sliding_window=7), "all-linear"),
    "phi4-causal": ("Phi3", dict(head_dim=None, num_attention_heads=2, max_position_embeddings=160, original_max_position_embeddings=40, rope_parameters=dict(
        rope_type="longrope", rope_theta=100.0, partial_rotary_factor=0.75, short_factor=[1.1, 1.3, 1.7], long_factor=[2.0, 3.0, 5.0], original_max_position_embeddings=40,
    )), ["qkv_proj", "down_proj"]),
    "phi4-long-causal": ("Phi3", dict(head_dim=None, num_attention_heads=2, max_position_embeddings=160, original_max_position_embeddings=8, rope_parameters=dict(
        rope_type="longrope", rope_theta=100.0, partial_rotary_factor=0.75, short_factor=[1.1, 1.3, 1.7], long_factor=[2.0, 3.0, 5.0], original_max_position_embeddings=8,
    )), ["qkv_proj", "down_proj"]),
    "stablelm-causal": ("StableLm", dict(head_dim=None, num_attention_heads=2, use_qkv_bias=True, layer_norm_eps=1e-3), None),
    "stablelm-parallel-causal": ("StableLm", dict(head_dim=None, num_attention_heads=2, use_parallel_residual=True, layer_norm_eps=1e-3), "all-linear"),
    "stablelm-norms-causal": ("StableLm", dict(
        head_dim=None, num_attention_heads=4, num_key_value_heads=2, qk_layernorm=True, layer_norm_eps=1e-3, rope_parameters=ROPE | {"partial_rotary_factor": 0.5},
    ), ["k_proj", "o_proj", "up_proj"]),
    "cohere-causal": ("Cohere", dict(attention_bias=True, logit_scale=0.4, layer_norm_eps=1e-3), ["q_proj", "o_proj", "gate_proj"]),
    "phi-causal": ("Phi", dict(head_dim=None, num_attention_heads=2, layer_norm_eps=1e-3), None),
    "cohere-norms-causal": ("Cohere", dict(use_qk_norm=True, logit_scale=0.4, layer_norm_eps=1e-3), ["q_proj", "k_proj", "down_proj"]),
    "phi-norms-causal": ("Phi", dict(head_dim=None, num_attention_heads=2, qk_layernorm=True, layer_norm_eps=1e-3), ["q_proj", "dense", "fc1"]),
    "gptj-causal": ("GPTJ", dict(head_dim=None, num_attention_heads=2, n_inner=24, rotary_dim=4, layer_norm_epsilon=1e-3), None),
    "gpt-neox-causal": ("GPTNeoX", dict(head_dim=None, num_attention_heads=2, num_key_value_heads=2, layer_norm_eps=1e-3), None),
    "gpt-neox-serial-causal": ("GPTNeoX", dict(
        head_dim=None, num_attention_heads=2, num_key_value_heads=2, layer_norm_eps=1e-3, use_parallel_residual=False, rope_parameters=ROPE | {"partial_rotary_factor": 0.5},
    ), "all-linear"),
    # Heads of an odd size, and their number no power of two.
    "opt-causal": ("OPT", dict(head_dim=None, hidden_size=18, num_attention_heads=2, ffn_dim=24), None),
    "opt-sums-causal": ("OPT", dict(
        head_dim=None, hidden_size=18, num_attention_heads=2, ffn_dim=24, do_layer_norm_before=False, activation_function="gelu",
    ), "all-linear"),
    "opt-bare-causal": ("OPT", dict(
        head_dim=None, hidden_size=18, num_attention_heads=2, ffn_dim=24, enable_bias=False, _remove_final_layer_norm=True,
    ), ["k_proj", "out_proj", "fc1"]),
    "bloom-causal": ("Bloom", dict(head_dim=None, hidden_size=18, num_attention_heads=6, num_key_value_heads=6, layer_norm_epsilon=1e-3), None),
    "bloom-read-causal": ("Bloom", dict(
        head_dim=None, hidden_size=18, num_attention_heads=6, layer_norm_epsilon=1e-3, apply_residual_connection_post_layernorm=True,
    ), "all-linear"),
    "opt-350m-causal": ("OPT", dict(
        head_dim=None, hidden_size=18, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=10, do_layer_norm_before=False,
    ), "all-linear"),
    # As 7B, 40B, 11B and RW are.
    "falcon-causal": ("Falcon", dict(head_dim=None, layer_norm_epsilon=1e-3), None),
    "falcon-new-causal": ("Falcon", dict(head_dim=None, layer_norm_epsilon=1e-3, new_decoder_architecture=True, num_kv_heads=2, ffn_hidden_size=24), "all-linear"),
    "falcon-one-norm-causal": ("Falcon", dict(
        head_dim=None, layer_norm_epsilon=1e-3, new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1, tie_word_embeddings=False,
    ), ["query_key_value", "dense_4h_to_h"]),
    "falcon-alibi-causal": ("Falcon", dict(
        head_dim=None, hidden_size=18, num_attention_heads=6, layer_norm_epsilon=1e-3, alibi=True, multi_query=False, parallel_attn=False, bias=True,
    ), ["dense", "dense_h_to_4h", "dense_4h_to_h"]),
    "granite-causal": ("Granite", dict(
        embedding_multiplier=1.5, residual_multiplier=0.7, attention_multiplier=0.3, logits_scaling=2.0, mlp_bias=True,
    ), ["q_proj", "o_proj", "lm_head"]),
}


# Other heads on some of them, by the layer that reads rows; targets as above.
HEADED = {
    "llama-linear-answers": None, "opt-350m-answers": None, "bloom-token": None, "gpt-oss-token": ["q_proj", "v_proj"],
}


def headed(name: str) -> tuple[type, object]:
    family, _, task = name.rpartition("-")
    stem, fields, _ = DECODERS[f"{family}-causal"]
    head, labels = {"answers": ("QuestionAnswering", 2), "token": ("TokenClassification", 3)}[task]
    return getattr(transformers, f"{stem}For{head}"), decoder(stem, fields | dict(num_labels=labels))[1]


def decoder(stem: str, fields: dict) -> tuple[type, object]:
    # A config may write into what it is given. A head size of None is the class's own.
    given = copy.deepcopy(BASE | fields)
    config = getattr(transformers, f"{CONFIGS.get(stem, stem)}Config")(**{k: v for k, v in given.items() if (k, v) != ("head_dim", None)})
    return getattr(transformers, f"{stem}ForCausalLM"), config
