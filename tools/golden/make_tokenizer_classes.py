"""What transformers' AutoTokenizer makes of folders whose tokenizer_config.json changes what tokenizer.json says, in data/io/tokenizer-classes.json:
the tokenizers are those of tokenizers.json (make_tokenizers.py).

Usage: python make_tokenizer_classes.py
"""

import json
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

from common import DATA

IO = DATA / "io"
GOLDEN = json.loads((IO / "tokenizers.json").read_text())
TEXTS = ["Was the cat", "  it was", "<s>x</s> it\n cats", " naïve ÀÉ 日本", "[MASK] a [CLS]", "it <|endoftext|> was"]
LLAMA = dict(unk_token="<unk>", bos_token="<s>", eos_token="</s>")
BERT = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]")

# Name: tokenizer, further parts of tokenizer.json, tokenizer_config.json, type of the model.
FOLDERS = {
    "llama": ("llama-legacy", {}, LLAMA | dict(tokenizer_class="LlamaTokenizer", legacy=False), "llama"),
    "llama-legacy": ("llama-legacy", {}, LLAMA | dict(tokenizer_class="LlamaTokenizerFast", legacy=True), None),
    "llama-bare": ("llama-legacy", {}, LLAMA | dict(tokenizer_class="LlamaTokenizer", add_prefix_space=False), "llama"),
    "llama-of-mistral": ("llama-legacy", {}, LLAMA | dict(tokenizer_class="LlamaTokenizer", legacy=False), "mistral"),
    "llama-in-bytes": ("llama3", {}, dict(tokenizer_class="LlamaTokenizer", eos_token="<|endoftext|>"), "llama"),
    "general": ("llama-legacy", {}, LLAMA | dict(tokenizer_class="PreTrainedTokenizerFast"), "llama"),
    "bert-cased": ("bert", {}, BERT | dict(tokenizer_class="BertTokenizer", do_lower_case=False), "bert"),
    "bert-accents": ("bert", {}, BERT | dict(strip_accents=False, tokenize_chinese_chars=False), "distilbert"),
    "bert-lower": ("bert-cased", {}, BERT | dict(tokenizer_class="DistilBertTokenizerFast"), None),
    "bert-general": ("bert-cased", {}, BERT | dict(tokenizer_class="PreTrainedTokenizerFast", do_lower_case=True), "bert"),
    "split": ("gpt2", {}, dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="<|endoftext|>", split_special_tokens=True), None),
    "prefix": ("gpt2", {}, dict(tokenizer_class="GPT2Tokenizer", eos_token="<|endoftext|>", unk_token="<|endoftext|>", add_prefix_space=True), "gpt2"),
    "no-prefix": (
        "gpt2-prefix", {}, dict(tokenizer_class="GPT2TokenizerFast", eos_token="<|endoftext|>", unk_token="<|endoftext|>", add_prefix_space=False), None,
    ),
    "padding": (
        "llama",
        dict(padding=dict(strategy=dict(Fixed=9), direction="Right", pad_to_multiple_of=None, pad_id=0, pad_type_id=0, pad_token="<unk>")),
        dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>"), None,
    ),
}


def record(name: str) -> dict:
    own, further, config, kind = FOLDERS[name]
    made = GOLDEN["tokenizers"][own]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        parsed = {"version": "1.0", "truncation": None, "padding": None} | made["parts"] | further | {"model": GOLDEN["models"][made["model"]]}
        (at / "tokenizer.json").write_text(json.dumps(parsed))
        (at / "tokenizer_config.json").write_text(json.dumps(config))
        if kind:
            (at / "config.json").write_text(json.dumps(dict(model_type=kind)))
        tokenizer = AutoTokenizer.from_pretrained(at)
    ids = [tokenizer(text, padding=False)["input_ids"] for text in TEXTS]
    first, second = TEXTS[:2]
    return {
        "tokenizer": own, "further": further, "config": config, "type": kind, "pad": tokenizer.pad_token_id,
        "rows": [[text, of, tokenizer.decode(of, clean_up_tokenization_spaces=False)] for text, of in zip(TEXTS, ids)],
        "pair": tokenizer(first, second, padding=False)["input_ids"],
    }


if __name__ == "__main__":
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(record(name))}" for name in FOLDERS)
    (IO / "tokenizer-classes.json").write_text(f"{{\n{text}\n}}\n")
