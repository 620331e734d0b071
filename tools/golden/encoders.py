"""The tiny encoders that are like BERT: a row for each class, with the fields in which its config differs, and adapters on it."""

import transformers
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig

from models import VOCABULARY

SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    max_position_embeddings=40, layer_norm_eps=1e-3, initializer_range=0.3, num_labels=3,
)
DISTILBERT = dict(dim=16, n_layers=2, n_heads=4, hidden_dim=24) | {
    name: SIZES[name] for name in ("vocab_size", "max_position_embeddings", "initializer_range", "num_labels")
}
ALBERT = SIZES | dict(embedding_size=12, num_hidden_layers=4, num_hidden_groups=2)

HEADS = {"sequence": "SequenceClassification", "masked": "MaskedLM", "token": "TokenClassification"}

# Name, whose last part is the head: word that the classes begin with, fields of the config.
ENCODERS = {
    "roberta-sequence": ("Roberta", SIZES | dict(type_vocab_size=1)),
    "roberta-masked": ("Roberta", SIZES | dict(type_vocab_size=1)),
    "xlm-roberta-token": ("XLMRoberta", SIZES | dict(type_vocab_size=1, pad_token_id=3)),
    "distilbert-sequence": ("DistilBert", DISTILBERT),
    "distilbert-masked": ("DistilBert", DISTILBERT | dict(activation="relu")),
    "electra-sequence": ("Electra", SIZES | dict(embedding_size=12)),
    "electra-masked": ("Electra", SIZES | dict(embedding_size=16, hidden_act="relu")),
    "albert-sequence": ("Albert", ALBERT),
    "albert-masked": ("Albert", ALBERT | dict(num_hidden_groups=1)),
    "mpnet-sequence": ("MPNet", SIZES),
    "mpnet-masked": ("MPNet", SIZES | dict(hidden_act="relu")),
}


def lora(targets: list[str] | None = None):
    return lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=targets, **o)


ENCODER_ADAPTERS = {
    "roberta-sequence": {
        "lora": lora(), "ia3": IA3Config,
        "prompt-tuning": lambda **o: PromptTuningConfig(num_virtual_tokens=4, **o),
        "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, **o),
    },
    "roberta-masked": {"lora": lora(["query", "dense", "decoder"])},
    "xlm-roberta-token": {"lora": lora()},
    "distilbert-sequence": {"lora": lora(["q_lin", "v_lin", "lin1"])},
    "electra-sequence": {"lora": lora()},
    "albert-sequence": {"lora": lora(["query", "value", "ffn"])},
    "mpnet-sequence": {"lora": lora(["q", "v", "o"])},
}


def encoder(name: str) -> tuple[type, object]:
    stem, fields = ENCODERS[name]
    head = HEADS[name.split("-")[-1]]
    return getattr(transformers, f"{stem}For{head}"), getattr(transformers, f"{stem}Config")(**fields)
