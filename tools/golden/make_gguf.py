"""Tiny decoders as GGUF files, with what transformers makes of the same weights, in data/gguf: names, order of rows and metadata as llama.cpp's converter
writes them (conversion/*.py there), quantised by its `gguf` package. Those that transformers reads itself are read there too, and must agree.

Usage: python make_gguf.py [NAME ...]; all without names
"""

import importlib.metadata
import json
import math
import sys

import gguf
import numpy as np
import sentencepiece
import torch
import transformers
from gguf import GGMLQuantizationType as Q
from gguf import quants
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from common import DATA

OUT = DATA / "gguf"
VOCABULARY = 320
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    head_dim=16, max_position_embeddings=128, rms_norm_eps=1e-3, initializer_range=0.2, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
PLAIN = dict(rope_type="default", rope_theta=500.0)
GPT2 = dict(
    vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_inner=96, n_positions=128, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
    activation_function="gelu_new",
)  # fmt: skip
# Name, which begins with the architecture's: class of transformers, its config, whether rows of queries and keys go by pairs, whether transformers reads its GGUF.
MODELS = {
    "llama": ("Llama", SIZES | dict(rope_parameters=LLAMA3, max_position_embeddings=16384), True, False),
    "llama-plain": ("Llama", SIZES | dict(rope_parameters=PLAIN, tie_word_embeddings=True, num_hidden_layers=1), True, True),
    "qwen2": ("Qwen2", SIZES | dict(rope_parameters=PLAIN), False, True),
    # transformers takes 128 for its head size, whatever the file says.
    "qwen3": ("Qwen3", SIZES | dict(rope_parameters=PLAIN, tie_word_embeddings=True), False, False),
    "gemma": ("Gemma", SIZES | dict(rope_parameters=PLAIN), False, False),
    "smollm3": ("SmolLM3", SIZES | dict(rope_parameters=PLAIN, num_hidden_layers=4), True, False),
    "olmo2": ("Olmo2", SIZES | dict(rope_parameters=PLAIN), False, False),
    "granite": ("Granite", SIZES | dict(
        rope_parameters=PLAIN, embedding_multiplier=1.5, residual_multiplier=0.7, attention_multiplier=0.3, logits_scaling=2.0,
    ), True, False),
    "gemma2": ("Gemma2", SIZES | dict(rope_parameters=PLAIN, sliding_window=5, query_pre_attn_scalar=16, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), False, False),
    "gemma3": ("Gemma3", SIZES | dict(num_hidden_layers=7, sliding_window=5, query_pre_attn_scalar=16, rope_parameters=dict(
        full_attention=dict(rope_type="linear", rope_theta=500.0, factor=2.0), sliding_attention=dict(rope_type="default", rope_theta=10000.0),
    )), False, False),
    "phi3": ("Phi3", SIZES | dict(rope_parameters=PLAIN | dict(original_max_position_embeddings=128), original_max_position_embeddings=128, sliding_window=6), False, False),
    "phi3-long": ("Phi3", SIZES | dict(original_max_position_embeddings=32, rope_parameters=dict(
        rope_type="longrope", rope_theta=500.0, partial_rotary_factor=0.75, short_factor=[1.1, 1.3, 1.7, 1.9, 2.3, 2.9], long_factor=[2.0, 3.0, 5.0, 6.0, 7.0, 8.0],
        original_max_position_embeddings=32,
    )), False, False),
    "starcoder2": ("Starcoder2", SIZES | dict(rope_parameters=PLAIN, norm_epsilon=1e-3), False, False),
    "command-r": ("Cohere", SIZES | dict(rope_parameters=PLAIN, layer_norm_eps=1e-3, logit_scale=0.4), False, False),
    "cohere2": ("Cohere2", SIZES | dict(rope_parameters=PLAIN, layer_norm_eps=1e-3, logit_scale=0.4, num_hidden_layers=4, sliding_window=5), False, False),
    # transformers takes 1,024 positions and an MLP of 4 hidden sizes, whatever the file says.
    "gpt2": ("GPT2", GPT2, False, False),
}  # fmt: skip
# Storage of the matrices, in turn.
STORAGE = [Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_1, Q.F16, Q.Q5_0, Q.BF16]

TEXTS = [
    "The white whale swam before him, 12345 times; it's  the monomaniac incarnation.\n\n  Of all those 'malicious' AGENCIES\t!",
    "héllo wörld — 漢字 🤖",
    " leading and trailing  ",
    "",
]
CORPUS = (DATA / "held-out.txt").read_text() * 4


def in_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head's halves, to pairs of neighbours."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def byte_level(normalizer, steps, first_ids) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=first_ids, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    return tokenizer


WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BARE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
CUTS = {
    "gpt-2": (None, [BYTES]),
    "smollm": (None, [pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "qwen2": (normalizers.NFC(), [pre_tokenizers.Split(Regex(WORDS % r"\p{N}"), "isolated"), BARE]),
    "llama-bpe": (None, [pre_tokenizers.Split(Regex(WORDS % r"\p{N}{1,3}"), "isolated"), BARE]),
}
# Those of SentencePiece have none.
CUT_OF = {"llama": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2", "smollm3": "smollm", "olmo2": "gpt-2", "granite": "gpt-2", "gpt2": "gpt-2",
          "starcoder2": "gpt-2", "command-r": "gpt-2", "cohere2": "gpt-2"}


def add_byte_level(writer, cut: str) -> list[list[int]]:
    tokenizer = byte_level(*CUTS[cut], ["<pad>", "<s>", "</s>"])
    spec = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(spec["vocab"].items(), key=lambda item: item[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(merge) for merge in spec["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    first = [1] if cut == "llama-bpe" else []
    return [first + tokenizer.encode(text).ids for text in TEXTS]


def add_sentence_piece(writer) -> list[list[int]]:
    (OUT / "corpus.txt").write_text(CORPUS)
    sentencepiece.SentencePieceTrainer.train(
        input=str(OUT / "corpus.txt"), model_prefix=str(OUT / "spm"), vocab_size=VOCABULARY, model_type="bpe", byte_fallback=True,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(OUT / "spm.model"))
    for file in ("corpus.txt", "spm.model", "spm.vocab"):
        (OUT / file).unlink()
    ids = range(model.vocab_size())
    kinds = [2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1 for i in ids]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([model.id_to_piece(i) for i in ids])
    writer.add_token_scores([model.get_score(i) for i in ids])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(3)
    return [[1] + model.encode(text) for text in TEXTS]


def add_config(writer, arch: str, c) -> None:
    if arch == "gpt2":
        writer.add_block_count(c.n_layer)
        writer.add_context_length(c.n_positions)
        writer.add_embedding_length(c.n_embd)
        writer.add_feed_forward_length(c.n_inner)
        writer.add_head_count(c.n_head)
        writer.add_layer_norm_eps(c.layer_norm_epsilon)
        return
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(16)
    writer.add_value_length(16)
    if arch in ("starcoder2", "command-r", "cohere2"):
        writer.add_layer_norm_eps(c.norm_epsilon if arch == "starcoder2" else c.layer_norm_eps)
    else:
        writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    rope = c.rope_parameters.get("full_attention", c.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(16 * rope.get("partial_rotary_factor", 1)))
    writer.add_vocab_size(c.vocab_size)
    if arch in ("gemma2", "gemma3", "phi3", "cohere2"):
        writer.add_sliding_window(c.sliding_window or 0)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
    if rope["rope_type"] == "longrope":
        scale = c.max_position_embeddings / c.original_max_position_embeddings
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(c.original_max_position_embeddings)))
        writer.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
        writer.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))
    if arch in ("command-r", "cohere2"):
        writer.add_logit_scale(c.logit_scale)
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    if arch == "granite":
        writer.add_attention_scale(c.attention_multiplier)
        writer.add_embedding_scale(c.embedding_multiplier)
        writer.add_residual_scale(c.residual_multiplier)
        writer.add_logit_scale(c.logits_scaling)


def make(label: str) -> None:
    stem, fields, paired, readable = MODELS[label]
    arch = "command-r" if label == "command-r" else label.split("-")[0]
    torch.manual_seed(0)
    config = getattr(transformers, f"{stem}LMHeadModel" if arch == "gpt2" else f"{stem}ForCausalLM").config_class(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    writer = gguf.GGUFWriter(OUT / f"{label}.gguf", arch)
    add_config(writer, arch, config)
    tokens = add_sentence_piece(writer) if arch not in CUT_OF else add_byte_level(writer, CUT_OF[arch])
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, arch.upper().replace("-", "_")), config.num_hidden_layers)
    tied = config.tie_word_embeddings
    if label == "llama":
        inverse = 1 / (10000.0 ** (np.arange(0, 16, 2) / 16))
        wave = 2 * np.pi / inverse
        smooth = (8192 / wave - 1) / 3
        factors = np.where(wave < 2048, 1, np.where(wave > 8192, 8, 1 / ((1 - smooth) / 8 + smooth)))
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    turn = 0
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            if (tied and name == "lm_head.weight") or name.endswith((".attn.bias", ".masked_bias")):
                continue
            base, kind = name.rsplit(".", 1)
            if parameter.ndim == 1:
                # Away from where they begin, so that each matters.
                parameter.add_(torch.randn_like(parameter) * 0.3)
            values = parameter.numpy().astype(np.float32)
            if arch == "gpt2" and base.endswith(("c_attn", "c_proj", "c_fc")) and kind == "weight":
                values = values.T
            heads = 0
            if paired and base.endswith("q_proj"):
                heads = 4
            if paired and base.endswith("k_proj"):
                heads = 2
            file_values = np.ascontiguousarray(in_pairs(values, heads) if heads else values)
            if arch.startswith("gemma") and base.endswith("norm"):
                file_values = file_values + 1
            target = f"{names.get_name(base)}.{kind}"
            if values.ndim == 1 or base.endswith("wpe"):
                writer.add_tensor(target, file_values)
                continue
            storage = STORAGE[turn % len(STORAGE)]
            turn += 1
            packed = quants.quantize(file_values, storage)
            if storage == Q.F16:
                packed = file_values.astype(np.float16)
                stored = packed.astype(np.float32)
            else:
                stored = quants.dequantize(packed, storage)
            writer.add_tensor(target, packed, raw_dtype=storage)
            if heads:
                stored = stored.reshape(heads, -1, 2, stored.shape[1]).swapaxes(1, 2).reshape(stored.shape)
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(stored.T if values.shape != parameter.shape or (arch == "gpt2" and base.endswith(("c_attn", "c_proj", "c_fc"))) else stored)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids = torch.randint(0, VOCABULARY, (2, 9))
    with torch.no_grad():
        logits = model(ids).logits
        if readable:
            read = transformers.AutoModelForCausalLM.from_pretrained(OUT, gguf_file=f"{label}.gguf", dtype=torch.float32).eval()
            apart = (read(ids).logits - logits).abs().max().item()
            print(label, "as transformers reads it, apart by", apart)
            assert apart < 1e-4, apart
    save_file(
        {"ids": ids.int(), "logits": logits.contiguous()} | {f"tokens.{i}": torch.tensor(t, dtype=torch.int32) for i, t in enumerate(tokens)},
        OUT / f"{label}.safetensors",
        metadata={"gguf": importlib.metadata.version("gguf"), "transformers": transformers.__version__, "texts": json.dumps(TEXTS)},
    )


OUT.mkdir(parents=True, exist_ok=True)
for name in sys.argv[1:] or MODELS:
    make(name)
