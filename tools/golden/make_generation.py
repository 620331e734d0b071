"""How transformers changes logits and chooses tokens, in data/io/generation.json: each of its processors on drawn scores, alone and in the
order of `generate`; and continuations of the tiny model `plain` by a generation config.

Usage: python make_generation.py
"""

import json
import math

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as lp

from common import DATA

VOCAB = 24
draw = torch.Generator().manual_seed(5)


def history(length):
    return torch.randint(0, 6, (1, length), generator=draw)


# Ours, and what does the same there.
PROCESSORS = {
    "repetition": ({"repetitionPenalty": 1.3}, lambda n: [lp.RepetitionPenaltyLogitsProcessor(1.3)]),
    "encouraged": ({"repetitionPenalty": 0.7}, lambda n: [lp.RepetitionPenaltyLogitsProcessor(0.7)]),
    "ngram 1": ({"noRepeatNgram": 1}, lambda n: [lp.NoRepeatNGramLogitsProcessor(1)]),
    "ngram 2": ({"noRepeatNgram": 2}, lambda n: [lp.NoRepeatNGramLogitsProcessor(2)]),
    "ngram 3": ({"noRepeatNgram": 3}, lambda n: [lp.NoRepeatNGramLogitsProcessor(3)]),
    "bad words": ({"badWords": [[3], [1, 2], [0, 1, 4]]}, lambda n: [lp.NoBadWordsLogitsProcessor([[3], [1, 2], [0, 1, 4]], eos_token_id=torch.tensor([23]))]),
    "minimum": ({"minTokens": 4}, lambda n: [lp.MinNewTokensLengthLogitsProcessor(n, 4, torch.tensor([22, 23]))]),
    "all": ({"repetitionPenalty": 1.3, "noRepeatNgram": 2, "badWords": [[7]], "minTokens": 9}, lambda n: [lp.RepetitionPenaltyLogitsProcessor(1.3),
        lp.NoRepeatNGramLogitsProcessor(2), lp.NoBadWordsLogitsProcessor([[7]], eos_token_id=torch.tensor([23])), lp.MinNewTokensLengthLogitsProcessor(n, 9, torch.tensor([22, 23]))]),
}
WARPERS = {
    "temperature": ({"temperature": 0.7}, [lp.TemperatureLogitsWarper(0.7)]),
    "top k": ({"topK": 5}, [lp.TopKLogitsWarper(5)]),
    "top p": ({"topP": 0.8}, [lp.TopPLogitsWarper(0.8)]),
    "min p": ({"minP": 0.1}, [lp.MinPLogitsWarper(0.1)]),
    "typical": ({"typicalP": 0.6}, [lp.TypicalLogitsWarper(0.6)]),
    "all": ({"temperature": 1.4, "topK": 12, "topP": 0.9, "minP": 0.05, "typicalP": 0.8}, [lp.TemperatureLogitsWarper(1.4), lp.TopKLogitsWarper(12), lp.TopPLogitsWarper(0.9),
        lp.MinPLogitsWarper(0.05), lp.TypicalLogitsWarper(0.8)]),
}
CONFIGS = [
    {"eos_token_id": [28], "repetition_penalty": 1.4, "max_new_tokens": 12},
    {"eos_token_id": [0, 14], "no_repeat_ngram_size": 2, "max_new_tokens": 20},
    {"eos_token_id": [13, 28], "min_new_tokens": 3, "bad_words_ids": [[3], [5, 6]], "suppress_tokens": [11, 12], "max_length": 18},
]
MODEL = DATA / "python" / "models" / "plain"


def numbers(row, digits=6):
    return [None if math.isinf(x) else round(x, digits) for x in row]


def main():
    processed, warped = [], []
    for name, (options, make) in PROCESSORS.items():
        for prompt, new in ((4, 0), (5, 3), (2, 14)):
            ids, scores = history(prompt + new), torch.randn(1, VOCAB, generator=draw) * 2
            out = LogitsProcessorList(make(prompt))(ids, scores.clone())
            row = {"name": name, "options": options, "prompt": ids[0, :prompt].tolist(), "tokens": ids[0, prompt:].tolist()}
            processed.append(row | {"scores": numbers(scores[0].tolist()), "out": numbers(out[0].tolist())})
    for name, (options, warpers) in WARPERS.items():
        for _ in range(3):
            scores = torch.randn(1, VOCAB, generator=draw) * 2
            out = LogitsProcessorList(warpers)(None, scores.clone()).softmax(-1)
            warped.append({"name": name, "options": options, "scores": numbers(scores[0].tolist()), "out": numbers(out[0].tolist(), 12)})
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    generated = []
    for config in CONFIGS:
        prompt = torch.randint(0, 29, (1, 6), generator=draw)
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=GenerationConfig(**config, pad_token_id=0, do_sample=False))[0]
        tokens = out[prompt.shape[1]:].tolist()
        generated.append({"config": config, "prompt": prompt[0].tolist(), "tokens": [t for t in tokens if t not in config["eos_token_id"]]})
    out = {"processed": processed, "warped": warped, "generated": generated}
    (DATA / "io" / "generation.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


main()
