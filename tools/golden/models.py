"""The tiny models of the goldens: made once with transformers 5, loaded with the version of either library."""

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from common import OUT, draw_batch, save_tensors, shake

MODELS = OUT / "models"
VOCABULARY = 29

# Grouped heads, and a head size that is not hidden / heads; weights large enough for every part to matter.
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=6, max_position_embeddings=64, rms_norm_eps=1e-3, initializer_range=0.3,
    bos_token_id=1, eos_token_id=None,
)

# With these numbers one of the three rotated pairs falls into each of Llama 3's three ranges of wavelength.
LLAMA3_ROPE = dict(
    rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
ROPE = dict(rope_type="default", rope_theta=100.0)

LLAMAS = {
    "plain": dict(rope_parameters=ROPE),
    "llama3-tied": dict(rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True),
    # The prefix of the adapters library takes hidden / heads for the head size.
    "square": dict(rope_parameters=ROPE, head_dim=4),
}

GPT2 = dict(
    vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3,
    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=None,
)


def save_model(name: str, build: type, config: object) -> None:
    torch.manual_seed(0)
    model = build(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            shake(parameter, 0.3)
    model.save_pretrained(MODELS / name)


def make_models() -> None:
    for name, options in LLAMAS.items():
        save_model(name, LlamaForCausalLM, LlamaConfig(**SIZES | options))
    save_model("gpt2", GPT2LMHeadModel, GPT2Config(**GPT2))


@torch.no_grad()
def record_base_logits() -> None:
    """What the models give without an adapter, for the library that has another version of transformers."""
    ids, _ = draw_batch(VOCABULARY)
    names = sorted(folder.name for folder in MODELS.iterdir())
    save_tensors(OUT / "base-logits.safetensors", {"ids": ids.int()} | {n: load_model(n)(ids).logits for n in names})


def load_model(name: str, attention: str = "sdpa") -> torch.nn.Module:
    config = AutoConfig.from_pretrained(MODELS / name)
    if transformers.__version__.startswith("4.") and hasattr(config, "rope_parameters"):
        config.rope_theta = config.rope_parameters["rope_theta"]
    model = AutoModelForCausalLM.from_pretrained(
        MODELS / name, config=config, dtype=torch.float32, attn_implementation=attention
    )
    model.config.name_or_path = name  # written into the adapter's configuration
    return model.eval()


def use_linears(model: torch.nn.Module) -> torch.nn.Module:
    """Replaces each Conv1D by the Linear that computes the same, for methods that PEFT has for Linear alone."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Conv1D):
                linear = torch.nn.Linear(*child.weight.shape)
                linear.weight.data, linear.bias.data = child.weight.data.T.contiguous(), child.bias.data
                setattr(parent, name, linear)
    return model
