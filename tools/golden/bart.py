"""The tiny encoder-decoders that are like BART: heads, blocks and widths of the towers differ."""

from transformers import (
    BartConfig, BartForConditionalGeneration, BartForSequenceClassification, MBartConfig, MBartForConditionalGeneration, MBartForQuestionAnswering,
)

from models import VOCABULARY

BART = dict(
    vocab_size=VOCABULARY, d_model=16, max_position_embeddings=30, init_std=0.3, encoder_layers=2, encoder_ffn_dim=24,
    encoder_attention_heads=4, decoder_layers=3, decoder_ffn_dim=20, decoder_attention_heads=2, pad_token_id=0, bos_token_id=1,
)

BARTS = {
    "bart": (BartForConditionalGeneration, BartConfig(**BART)),
    # The adapters library takes both towers to have as many heads.
    "bart-even": (BartForConditionalGeneration, BartConfig(**BART | dict(decoder_layers=2, decoder_attention_heads=4))),
    "bart-sequence": (BartForSequenceClassification, BartConfig(**BART | dict(num_labels=3))),
    "mbart-answers": (MBartForQuestionAnswering, MBartConfig(**BART | dict(num_labels=2))),
    "mbart": (MBartForConditionalGeneration, MBartConfig(**BART, scale_embedding=True, activation_function="relu")),
}
