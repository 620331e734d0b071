"""What encoder-decoders write for prompts of unlike lengths, and what decoders and they find with beams, in data/io/texts.json: tiny models of
data/python, alone and with adapters of PEFT. Texts are computed in f32 and in f64, and must be equal: none hangs on a close decision.

Usage: python make_texts.py
"""

import json

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from common import DATA, OUT

FAMILIES = OUT / "families"
LENGTHS = (5, 13)
NEW = 20

# The folder of a model, that of an adapter on it, and settings by which it writes.
# Without the rule tiny models say one word over and over.
GREEDY = {"max_new_tokens": NEW, "no_repeat_ngram_size": 2}
TEXTS = [
    ("families/t5", None, {"max_new_tokens": NEW}),
    ("families/t5", None, GREEDY),
    ("families/t5", "lora", GREEDY),
    ("families/t5", "ia3", GREEDY),
    ("families/t5", None, GREEDY | {"forced_bos_token_id": 7, "forced_eos_token_id": 1, "min_length": 6}),
    ("families/t5-gated", "lora", GREEDY),
    ("families/bart", None, GREEDY),
    ("families/bart", "lora", GREEDY | {"forced_eos_token_id": [5, 6]}),
    ("families/mbart", None, GREEDY | {"decoder_start_token_id": 4, "forced_bos_token_id": 9}),
    ("families/t5", None, GREEDY | {"num_beams": 3}),
    ("families/t5", "lora", GREEDY | {"num_beams": 2, "length_penalty": 2.0, "early_stopping": True}),
    ("families/bart", None, GREEDY | {"num_beams": 4, "early_stopping": True, "forced_eos_token_id": 2, "no_repeat_ngram_size": 3}),
    ("families/bart", None, GREEDY | {"num_beams": 4, "length_penalty": -1.0, "early_stopping": "never"}),
    ("families/mbart", None, GREEDY | {"num_beams": 2, "early_stopping": "never", "repetition_penalty": 1.3, "decoder_start_token_id": 3}),
    ("models/plain", None, GREEDY | {"num_beams": 4}),
    ("models/plain", None, GREEDY | {"num_beams": 3, "early_stopping": True, "length_penalty": 0.3}),
    ("models/plain", None, GREEDY | {"num_beams": 2, "early_stopping": "never", "length_penalty": 3.0, "min_new_tokens": 5}),
]


def write(folder, adapter, config, rows, dtype):
    """The new tokens, without padding behind them."""
    kind = AutoModelForSeq2SeqLM if folder.startswith("families") else AutoModelForCausalLM
    model = kind.from_pretrained(OUT / folder / ("model" if folder.startswith("families") else ""), dtype=dtype)
    # T5's cache there has as many layers as the encoder, also for a decoder with more.
    model.generation_config = GenerationConfig(**config, pad_token_id=0, use_cache=False)
    if adapter:
        model = PeftModel.from_pretrained(model, OUT / folder / adapter / "adapter", autocast_adapter_dtype=False).to(dtype)
    model.eval()
    width = max(len(row) for row in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        at = slice(0, len(row)) if kind is AutoModelForSeq2SeqLM else slice(width - len(row), width)
        ids[i, at], mask[i, at] = torch.tensor(row), 1
    out = model.generate(input_ids=ids, attention_mask=mask)
    new = out[:, 1:] if kind is AutoModelForSeq2SeqLM else out[:, width:]
    ends = config["eos_token_id"]
    return [row[: next((i for i, token in enumerate(row) if token in ends), len(row))] for row in new.tolist()]


def main():
    draw = torch.Generator().manual_seed(6)
    texts = []
    for folder, adapter, config in TEXTS:
        rows = [torch.randint(3, 29, (length,), generator=draw).tolist() for length in LENGTHS]
        if folder.startswith("families"):
            config = {"decoder_start_token_id": 2 if "bart" in folder else 0} | config
        # Ends that tiny models come to.
        config = {"eos_token_id": [10, 20] if "num_beams" in config else [1]} | config
        tokens = write(folder, adapter, config, rows, torch.float32)
        if tokens != write(folder, adapter, config, rows, torch.float64):
            raise SystemExit(f"{folder} {adapter} {config}: a decision is close: choose another seed")
        print(folder, adapter, config, [len(row) for row in tokens], tokens)
        texts.append({"model": folder, "adapter": adapter, "config": config, "prompts": rows, "tokens": tokens})
    (DATA / "io" / "texts.json").write_text(json.dumps(texts, separators=(",", ":")) + "\n")


main()
