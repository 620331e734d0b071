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

MODERNBERT = {name: v for name, v in SIZES.items() if name != "layer_norm_eps"} | dict(
    num_hidden_layers=3, norm_eps=1e-3, pad_token_id=0, bos_token_id=1, eos_token_id=2, local_attention=12, layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    rope_parameters=dict(
        full_attention=dict(rope_type="default", rope_theta=100.0), sliding_attention=dict(rope_type="default", rope_theta=20.0),
    ),
)

# As v3 has it: fewer buckets than the texts are long, positions that share the layers of the contents.
DEBERTA = SIZES | dict(
    relative_attention=True, position_buckets=8, max_relative_positions=-1, pos_att_type=["p2c", "c2p"], share_att_key=True,
    norm_rel_ebd="layer_norm", position_biased_input=False, type_vocab_size=0,
)

# The first version: fewer relative positions than the texts are long.
DEBERTA_1 = SIZES | dict(relative_attention=True, max_relative_positions=6, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0)

HEADS = {"sequence": "SequenceClassification", "masked": "MaskedLM", "token": "TokenClassification", "answers": "QuestionAnswering", "choice": "MultipleChoice"}

# Name, whose last part is the head: word that the classes begin with, fields of the config.
ENCODERS = {
    "roberta-sequence": ("Roberta", SIZES | dict(type_vocab_size=1)),
    "roberta-masked": ("Roberta", SIZES | dict(type_vocab_size=1)),
    "xlm-roberta-token": ("XLMRoberta", SIZES | dict(type_vocab_size=1, pad_token_id=3)),
    "distilbert-sequence": ("DistilBert", DISTILBERT),
    "distilbert-choice": ("DistilBert", DISTILBERT | dict(num_labels=1)),
    "distilbert-answers": ("DistilBert", DISTILBERT | dict(num_labels=2)),
    "distilbert-masked": ("DistilBert", DISTILBERT | dict(activation="relu")),
    "electra-sequence": ("Electra", SIZES | dict(embedding_size=12)),
    "electra-choice": ("Electra", SIZES | dict(embedding_size=12, num_labels=1)),
    # Rows of padding count, and no layer stands before the classifier.
    "electra-mean-choice": ("Electra", SIZES | dict(embedding_size=12, num_labels=1, summary_type="mean", summary_use_proj=False, summary_activation="")),
    "electra-last-choice": ("Electra", SIZES | dict(embedding_size=16, num_labels=1, summary_type="last", summary_activation="tanh")),
    "electra-masked": ("Electra", SIZES | dict(embedding_size=16, hidden_act="relu")),
    "albert-sequence": ("Albert", ALBERT),
    "albert-masked": ("Albert", ALBERT | dict(num_hidden_groups=1)),
    "mpnet-sequence": ("MPNet", SIZES),
    "modernbert-sequence": ("ModernBert", MODERNBERT | dict(norm_bias=True, attention_bias=True, classifier_pooling="mean")),
    "modernbert-masked": ("ModernBert", MODERNBERT | dict(mlp_bias=True, classifier_bias=True, classifier_activation="relu")),
    "modernbert-token": ("ModernBert", MODERNBERT),
    "deberta-sequence": ("Deberta", DEBERTA_1),
    "deberta-masked": ("Deberta", DEBERTA_1 | dict(max_relative_positions=-1, position_biased_input=True, type_vocab_size=2)),
    "deberta-token": ("Deberta", DEBERTA_1 | dict(pos_att_type=["p2c"])),
    "deberta-v2-sequence": ("DebertaV2", DEBERTA | dict(pooler_hidden_act="tanh")),
    "deberta-v2-masked": ("DebertaV2", DEBERTA | dict(
        position_buckets=-1, max_relative_positions=6, share_att_key=False, norm_rel_ebd="none", position_biased_input=True, type_vocab_size=2,
    )),
    "deberta-v2-token": ("DebertaV2", DEBERTA | dict(pos_att_type=["p2c"], share_att_key=False, conv_kernel_size=3, conv_act="gelu")),
    "mpnet-choice": ("MPNet", SIZES | dict(num_labels=1)),
    "modernbert-answers": ("ModernBert", MODERNBERT | dict(num_labels=2)),
    "modernbert-choice": ("ModernBert", MODERNBERT | dict(num_labels=1, classifier_pooling="mean")),
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
    "electra-choice": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, modules_to_save=["sequence_summary", "classifier"], **o)},
    "albert-sequence": {"lora": lora(["query", "value", "ffn"])},
    "modernbert-sequence": {"lora": lora(["Wqkv"])},
    "modernbert-masked": {"lora": lora(["Wqkv", "attn.Wo", "Wi", "mlp.Wo"])},
    "modernbert-token": {},
    "deberta-sequence": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, modules_to_save=["pooler", "classifier"], **o),
        "ia3": lambda **o: IA3Config(modules_to_save=["pooler", "classifier"], **o),
    },
    "deberta-masked": {"lora": lora(["in_proj", "pos_proj", "pos_q_proj", "dense"])},
    "deberta-v2-sequence": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, modules_to_save=["pooler", "classifier"], **o),
    },
    "deberta-v2-masked": {"lora": lora(["query_proj", "pos_key_proj", "dense"])},
    "mpnet-sequence": {"lora": lora(["q", "v", "o"])},
}


def encoder(name: str) -> tuple[type, object]:
    stem, fields = ENCODERS[name]
    head = HEADS[name.split("-")[-1]]
    return getattr(transformers, f"{stem}For{head}"), getattr(transformers, f"{stem}Config")(**fields)
