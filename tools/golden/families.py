"""The tiny models of the families, each with the head of a task: how they are made, loaded, fed and named."""

import torch
from transformers import (
    BertConfig, BertForMaskedLM, BertForMultipleChoice, BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification, GPT2Config,
    GPT2ForSequenceClassification, GPT2ForTokenClassification, LlamaConfig, LlamaForSequenceClassification, LlamaForTokenClassification, MT5Config,
    MT5ForConditionalGeneration, MT5ForSequenceClassification, MT5ForTokenClassification, T5Config, T5ForConditionalGeneration, T5ForQuestionAnswering,
    T5ForSequenceClassification, T5ForTokenClassification, UMT5Config, UMT5ForConditionalGeneration, UMT5ForSequenceClassification,
    UMT5ForTokenClassification,
)

from common import IGNORED, OUT, shake, shift
from bart import BARTS
from decoders import DECODERS, HEADED, decoder, headed
from encoders import ENCODERS, encoder
from vision import PAIRS, VISION, draw_pairs, picture_size
from models import GPT2, ROPE, SIZES, VOCABULARY

FAMILIES = OUT / "families"
LABELS = 3

BERT = dict(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    max_position_embeddings=40, type_vocab_size=2, layer_norm_eps=1e-3, initializer_range=0.3, num_labels=LABELS,
)
# Fewer buckets and a smaller distance than the texts are long; another number of blocks in the decoder.
T5 = dict(
    vocab_size=VOCABULARY, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=4,
    relative_attention_num_buckets=8, relative_attention_max_distance=12, layer_norm_epsilon=1e-3,
    decoder_start_token_id=0,
)
CLASSIFIER = dict(num_labels=LABELS, pad_token_id=0)

MODELS = {
    "bert-sequence": (BertForSequenceClassification, BertConfig(**BERT)),
    "bert-masked": (BertForMaskedLM, BertConfig(**BERT)),
    "bert-token": (BertForTokenClassification, BertConfig(**BERT | dict(hidden_act="relu"))),
    "bert-answers": (BertForQuestionAnswering, BertConfig(**BERT | dict(num_labels=2))),
    "bert-choice": (BertForMultipleChoice, BertConfig(**BERT | dict(num_labels=1))),
    "t5": (T5ForConditionalGeneration, T5Config(**T5)),
    "t5-gated": (T5ForConditionalGeneration, T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "mt5": (MT5ForConditionalGeneration, MT5Config(**T5)),
    "t5-sequence": (T5ForSequenceClassification, T5Config(**T5 | dict(num_labels=LABELS))),
    "t5-token": (T5ForTokenClassification, T5Config(**T5 | dict(num_labels=LABELS, relative_attention_num_buckets=10))),
    "umt5-sequence": (UMT5ForSequenceClassification, UMT5Config(**T5 | dict(num_labels=LABELS, num_decoder_layers=2))),
    "umt5-token": (UMT5ForTokenClassification, UMT5Config(**T5 | dict(num_labels=LABELS))),
    "mt5-sequence": (MT5ForSequenceClassification, MT5Config(**T5 | dict(num_labels=LABELS))),
    "mt5-token": (MT5ForTokenClassification, MT5Config(**T5 | dict(num_labels=LABELS))),
    "t5-answers": (T5ForQuestionAnswering, T5Config(**T5 | dict(num_labels=2))),
    # An even number of blocks in the decoder, of which PEFT gives each second one's prefix to two.
    "umt5": (UMT5ForConditionalGeneration, UMT5Config(**T5 | dict(d_kv=4, num_decoder_layers=2))),
    "llama-sequence": (LlamaForSequenceClassification, LlamaConfig(**SIZES, **CLASSIFIER, rope_parameters=ROPE)),
    "llama-token": (LlamaForTokenClassification, LlamaConfig(**SIZES, **CLASSIFIER, rope_parameters=ROPE)),
    "gpt2-sequence": (GPT2ForSequenceClassification, GPT2Config(**GPT2 | CLASSIFIER)),
    **BARTS,
    **VISION,
    **PAIRS,
    **{name: encoder(name) for name in ENCODERS},
    "gpt2-token": (GPT2ForTokenClassification, GPT2Config(**GPT2 | CLASSIFIER | dict(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False))),
    **{name: headed(name) for name in HEADED},
    **{name: decoder(stem, fields) for name, (stem, fields, _) in DECODERS.items()},
}


def make_model(name: str) -> None:
    build, config = MODELS[name]
    torch.manual_seed(0)
    model = build(config)
    # The scores of T5 are not divided by sqrt(d), so large weights make the softmax steep and rounding counts. Moved by 0.3, LoRA on t5-gated
    # has in torch's f32 gradients 1.4e-4 (of the largest) and weights after three steps 3.0e-4 away from those of torch's f64; ours on
    # reference 8.1e-5 and 1.2e-4, on cpu 2.4e-4 and 7.6e-4. Moved by 0.1, all of them are within 2.4e-5 and 2.0e-6.
    std = 0.1 if name.startswith(("t5", "mt5", "umt5", "deberta", "bart", "mbart")) else 0.3
    for parameter in model.parameters():
        shake(parameter, std)
    if name in ("t5-gated", "mt5"):  # transformers ties even what the checkpoints of 1.1 and of mT5 have apart
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
        model._tied_weights_keys = {k: v for k, v in model._tied_weights_keys.items() if k != "lm_head.weight"}
        model.all_tied_weights_keys.pop("lm_head.weight", None)
    model.save_pretrained(FAMILIES / name / "model")


def load_model(name: str) -> torch.nn.Module:
    model = MODELS[name][0].from_pretrained(FAMILIES / name / "model", dtype=torch.float32)
    model.config.name_or_path = name
    return model.eval()


def draw_inputs(name: str) -> dict[str, torch.Tensor]:
    """By the library's names. Texts are padded on the right in the second row, on the left in the third."""
    draw = torch.Generator().manual_seed(3)
    rows, length = 3, 20
    if name in PAIRS:
        return draw_pairs(name, draw)
    if name in VISION:
        return {"pixel_values": torch.randn(rows, 3, *picture_size(name), generator=draw)}
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=draw)
    mask = torch.ones(rows, length)
    mask[1, 14:] = mask[2, :5] = 0
    if name in ("deberta-sequence", "deberta-v2-sequence"):  # its rows of padding, of which the first is read, look at all others
        mask[2] = 1
    config = MODELS[name][1]
    ids[mask == 0] = config.pad_token_id
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = (torch.arange(length) > 8).long().repeat(rows, 1)
    if config.is_encoder_decoder and name.endswith("sequence"):  # each text has one end
        ids[ids == config.eos_token_id] = 7
        ids[torch.arange(rows), [19, 13, 19]] = config.eos_token_id
    if config.is_encoder_decoder and not name.endswith(("sequence", "token", "answers")):  # those make their own
        inputs["decoder_input_ids"] = torch.randint(1, VOCABULARY, (rows, 17), generator=draw)
        inputs["decoder_attention_mask"] = torch.ones(rows, 17).long()
        inputs["decoder_attention_mask"][1, 12:] = 0
    if name.endswith("choice"):  # the rows are the choices of one question
        inputs = {key: t[None] for key, t in inputs.items()}
    return inputs


def draw_labels(name: str, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    draw = torch.Generator().manual_seed(4)
    if name.endswith(("sequence", "image")):
        return torch.tensor([2, 0, 1])
    if name.endswith("choice"):
        return torch.tensor([1])
    shape = inputs.get("decoder_input_ids", inputs["input_ids"]).shape
    labels = torch.randint(LABELS if name.endswith("token") else VOCABULARY, shape, generator=draw)
    labels[0, 3:6] = labels[1, 10:] = IGNORED
    if name.startswith(("deberta", "bloom")):
        labels[inputs["attention_mask"] == 0] = IGNORED
    if name.endswith("causal"):  # nor is the first token after padding on the left predicted, which a padded one would do, or one of a prompt
        labels[:, 0] = labels[2, :6] = IGNORED
    return labels


def label_inputs(name: str, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Labels by the names of the class's arguments. Of pairs of pictures and texts their order is all."""
    if name.endswith("pairs"):
        return {"return_loss": True}
    if name.endswith("answers"):  # the last one is beyond the text, and does not count
        return {"start_positions": torch.tensor([2, 0, 25]), "end_positions": torch.tensor([7, 3, 25])}
    return {"labels": draw_labels(name, inputs)}


def stored_labels(name: str, labels: torch.Tensor) -> torch.Tensor:
    """Labels as they are stored: each at the token that predicts it; of choices 1 at the right one."""
    if name.endswith("choice"):
        return (torch.arange(3) == labels).int()
    return shift(labels) if name.endswith("causal") else labels.int()


def plain_call(name: str, model: torch.nn.Module) -> torch.nn.Module:
    """The module to call: PEFT 0.21.2's class for answers drops the tokens' types."""
    return getattr(model, "base_model", model) if name == "bert-answers" else model


def logits_of(out: object) -> torch.Tensor:
    """Logits of any class: those of an answer's first and last token beside each other; of pictures those of the texts."""
    if "logits_per_image" in out:
        return out.logits_per_image
    return out.logits if "logits" in out else torch.stack([out.start_logits, out.end_logits], dim=-1)


def stored_logits(name: str, logits: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits as they are stored. A language model's, DeBERTa's and BLOOM's of padded tokens say nothing: zeros. Those of a prompt are left out."""
    says_nothing = name.endswith("causal") or name.startswith(("deberta", "bloom")) and name.endswith(("masked", "token"))
    if not says_nothing:
        return logits
    mask = inputs["attention_mask"]
    return logits[:, -mask.shape[1] :] * mask[..., None]


def draw_numbers(rows: int) -> torch.Tensor:
    """Targets of a regression; above 0 they are the labels of a text that may have several."""
    return torch.randn(rows, LABELS, generator=torch.Generator().manual_seed(5))
