"""What Hugging Face's tokenizers make of odd texts, in data/io/tokenizers.json: small tokenizers of many kinds, and for each text its
ids with and without special tokens, the text that those give back with and without special ones, and that of each of the first ids.

Usage: python make_tokenizers.py [TEXTS] [SEED] [OUTPUT]
"""

import base64
import json
import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from common import DATA

GIVEN = [*sys.argv[1:], *["60", "3", DATA / "io" / "tokenizers.json"][len(sys.argv) - 1 :]]
TEXTS, SEED, OUTPUT = int(GIVEN[0]), int(GIVEN[1]), Path(GIVEN[2])

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

CORPUS = [
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse,",
    "and nothing particular to interest me on shore, I thought I would sail about a little and see the watery part",
    "of the world. It's a way I have of driving off the spleen, and regulating the circulation. They've we'll I'd he's",
    "Wherever I find myself growing grim about the mouth; whenever it is a damp, drizzly November in my soul;",
    "was the cat cats 12345 1234567 naïve café straße über Привет мир 日本語 中文 한국어 ñ é ΣΙΓΜΑ σίγμας İstanbul",
    "def foo(bar):\n    return bar[0] == 'x'\n\n\n\tprint(foo(1, 2))\r\n  # comment  ",
] * 3

# Compiled by SentencePiece 0.2 from the rules: fi ligature -> "fi", A with acute -> "a", em space -> space, family of two -> "g",
# A with ring -> "aa", guillemet -> nothing.
CHARSMAP = base64.b64decode(
    "AAQAAAAAAQBBPAMAzAACAIEdAAADAACAqw0AAAAAAIAFAACAhT0AAIAEAgABAACAgwUAAKwAAgCBDQAACAAAgJ84AgCRoAIAqYQDAOIEAgCAKAIAjcQDAPBIAgCnPQAAkZgCAJ94AgALAACAGwAAAB"
    "oAAAAdAAAAHAAAAB8AAAAeAAAAIQAAACAAAAAjAAAAIgAAACUAAAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAAwAAAAMwAAADIAAAA1AAAANAAAADcAAAA2"
    "AAAAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAASwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUg"
    "AAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGcAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABsAAAAbwAAAG4A"
    "AABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAADCsAAAwzgAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAA"
    "AAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAOKsAACiAAAApQAAAKQAAACnAAAApgAA"
    "AKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAADvPAAA8IAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAA"
    "DFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADLAAAAygAAAM0AAADMAAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA"
    "4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAOYAAADpAAAA6AAAAOsAAADqAAAA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP"
    "0AAAD8AAAA/wAAAP4AAAAAIABhAGFhAGZpAGcA"
)

WORDS = [
    "it", "a", "the", "cat", "cats", "was", "it's", "They've", "we'll", "I'D", "naïve", "café", "e\u0301", "straße", "über", "İ", "ΣΙΓΜΑ",
    "Привет", "мир", "日本語", "中文", "한국어", "हिन्दी", "العربية", "ไทย", "12345", "1,234.5", "²½", "٣٤", "foo(bar)", "code_x", "[0]", "==", "--", "...",
    "👩‍👩‍👧", "👩‍👧", "Á", "«", "😀", "🇩🇪", "\u200b", "\ufeff", "\u3000", "\u00a0", "\u2028", "\x1c", "\x85", "\x00", "\x7f", "\ufffd", "\t", "\n", "\n\n", "\r\n", "  ", "   ",
    "<s>", "</s>", "<unk>", "<mask>", "<r>", "<both>", "[UNK]", "[CLS]", "<|endoftext|>", "Yesterday", "yesterday", " spaced ", "##a", "▁", "▁a", "Ġ", "<0x41>", "<0xFF>",
    "ﬁ", "Å", "\u0130", "ｆｕｌｌ", "q̣̇", "ÀÉ", "\u1e9e", "ǅ", "$&", "\\1", "$1", "x" * 120,
]

draw = random.Random(SEED)
texts = ["", " ", "  a", "a  ", "\n\n", *(word for word in WORDS if len(word) < 100)]
while len(texts) < TEXTS + 10:
    parts = [draw.choice(WORDS) for _ in range(draw.randint(1, 7))]
    texts.append("".join(part + draw.choice(["", " ", " ", "  "]) for part in parts))
if TEXTS < len(WORDS):
    texts = draw.sample(texts[5:], TEXTS - 5) + texts[:5]


def bpe(pre_tokenizer, fallback=False, size=360, normalizer=None, special=("<unk>", "<s>", "</s>")):
    made = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>" if fallback else None, fuse_unk=fallback))
    made.pre_tokenizer = pre_tokenizer
    if normalizer:
        made.normalizer = normalizer
    alphabet = [] if fallback else pre_tokenizers.ByteLevel.alphabet()
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if fallback else []
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=size + len(bytes_), initial_alphabet=alphabet, special_tokens=[*special, *bytes_], show_progress=False)
    )
    parsed = json.loads(made.to_str())
    # Bytes are tokens of the model, not added ones.
    parsed["added_tokens"] = [token for token in parsed["added_tokens"] if not token["content"].startswith("<0x")]
    return parsed["model"]


byte_level = bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), special=("<|endoftext|>",))
fallback = bpe(pre_tokenizers.Metaspace(), fallback=True, size=240)
wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
wordpiece.normalizer, wordpiece.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
wordpiece.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
wordpiece = json.loads(wordpiece.to_str())["model"]
unigram = Tokenizer(models.Unigram())
unigram.pre_tokenizer = pre_tokenizers.Metaspace()
unigram.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
unigram = json.loads(unigram.to_str())["model"]
unigram["vocab"] = [[token, round(score, 4)] for token, score in unigram["vocab"]]
MODELS = {"byte-level": byte_level, "fallback": fallback, "wordpiece": wordpiece, "unigram": unigram}


def make(model, **parts):
    added = parts.pop("added", [])
    made = Tokenizer.from_str(
        json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": MODELS[model]})
    )
    for name, part in parts.items():
        setattr(made, name, part)
    for token in added:
        (made.add_special_tokens if token.special else made.add_tokens)([token])
    return model, made


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def plain(content, **flags):
    return AddedToken(content, **flags)


def split(pattern, behavior="isolated", invert=False):
    regex = pattern if isinstance(pattern, Regex) else Regex(pattern) if len(pattern) > 3 else pattern
    return pre_tokenizers.Sequence([pre_tokenizers.Split(regex, behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


LEVEL = decoders.ByteLevel()
END = [special("<|endoftext|>")]
FLAGS = [
    *END, plain("cat", single_word=True, normalized=False), special("<mask>", lstrip=True), special("<r>", rstrip=True),
    special("<both>", lstrip=True, rstrip=True), plain("Yesterday", normalized=True), plain(" spaced ", normalized=False), plain("日本", normalized=False), plain("日", single_word=True, normalized=False),
]
LLAMA = [special("<unk>"), special("<s>"), special("</s>")]
llama_decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
llama_post = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", fallback["vocab"]["<s>"])])
bert = [special(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
bert_post = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
roberta_id = byte_level["vocab"]["<|endoftext|>"]
t5 = [special("<pad>"), special("</s>"), special("<unk>")]
t5_post = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])

TOKENIZERS = {
    "gpt2": make("byte-level", pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=LEVEL, added=END),
    "gpt2-prefix": make("byte-level", pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True), decoder=LEVEL, added=END),
    "added": make("byte-level", pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=LEVEL, added=FLAGS),
    "added-lower": make("byte-level", normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=LEVEL, added=FLAGS),
    "roberta": make("byte-level", pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=LEVEL, post_processor=processors.RobertaProcessing(("<|endoftext|>", roberta_id), ("<|endoftext|>", roberta_id)), added=END + [special("<mask>", lstrip=True)]),
    "llama3": make("byte-level", pre_tokenizer=split(LLAMA3), decoder=LEVEL, added=END),
    "qwen2": make("byte-level", normalizer=normalizers.NFC(), pre_tokenizer=split(QWEN2), decoder=LEVEL, added=END),
    "o200k": make("byte-level", pre_tokenizer=split(O200K), decoder=LEVEL, added=END),
    "bloom": make("byte-level", pre_tokenizer=split(BLOOM), decoder=LEVEL, added=END),
    "removed": make("byte-level", pre_tokenizer=split(r"[\s,]+", "removed"), decoder=LEVEL, added=END),
    "merged": make("byte-level", pre_tokenizer=split(r"[^\w\s]", "merged_with_previous"), decoder=LEVEL, added=END),
    "merged-next": make("byte-level", pre_tokenizer=split(r"[^\w\s]", "merged_with_next"), decoder=LEVEL, added=END),
    "contiguous": make("byte-level", pre_tokenizer=split(r"\d|\p{Han}", "contiguous"), decoder=LEVEL, added=END),
    "inverted": make("byte-level", pre_tokenizer=split(r"\p{L}+", "removed", True), decoder=LEVEL, added=END),
    "split-text": make("byte-level", pre_tokenizer=split("a", "isolated"), decoder=LEVEL, added=END),
    "digits": make("byte-level", pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), decoder=LEVEL, added=END),
    "digits-runs": make("byte-level", pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]), decoder=LEVEL, added=END),
    "replace": make("byte-level", normalizer=normalizers.Sequence([normalizers.Replace(Regex(r"\s{2,}"), " $1 "), normalizers.Replace("'", "’")]), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=LEVEL, added=END),
    "llama-legacy": make("fallback", normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), decoder=llama_decoder, post_processor=llama_post, added=LLAMA),
    "llama": make("fallback", pre_tokenizer=pre_tokenizers.Metaspace("▁", "first", False), decoder=llama_decoder, post_processor=llama_post, added=LLAMA),
    "mistral": make("fallback", pre_tokenizer=pre_tokenizers.Metaspace("▁", "always", True), decoder=decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "always", True)]), post_processor=llama_post, added=LLAMA),
    "gemma": make("fallback", normalizer=normalizers.Replace(" ", "▁"), pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"), decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]), post_processor=llama_post, added=LLAMA),
    "bert": make("wordpiece", normalizer=normalizers.BertNormalizer(), pre_tokenizer=pre_tokenizers.BertPreTokenizer(), decoder=decoders.WordPiece(), post_processor=bert_post, added=bert),
    "bert-cased": make("wordpiece", normalizer=normalizers.BertNormalizer(lowercase=False), pre_tokenizer=pre_tokenizers.BertPreTokenizer(), decoder=decoders.WordPiece(cleanup=False), post_processor=bert_post, added=bert),
    "words": make("wordpiece", normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]), pre_tokenizer=pre_tokenizers.Whitespace(), decoder=decoders.WordPiece(), added=bert),
    "words-split": make("wordpiece", normalizer=normalizers.NFKC(), pre_tokenizer=pre_tokenizers.WhitespaceSplit(), decoder=decoders.WordPiece(), added=bert),
    "t5": make("unigram", normalizer=normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizer=pre_tokenizers.Metaspace("▁", "always", True), decoder=decoders.Metaspace("▁", "always", True), post_processor=t5_post, added=t5),
    "charsmap": make("unigram", normalizer=normalizers.Precompiled(CHARSMAP), pre_tokenizer=pre_tokenizers.Metaspace("▁", "always", True), decoder=decoders.Metaspace("▁", "always", True), added=t5),
    "unigram": make("unigram", pre_tokenizer=pre_tokenizers.Metaspace("▁", "never", True), decoder=decoders.Metaspace("▁", "never", True), added=t5),
}


def row(made, text):
    with_special, plain_ids = made.encode(text).ids, made.encode(text, add_special_tokens=False).ids
    decoded = lambda ids, skip: made.decode(ids, skip_special_tokens=skip)
    return [text, with_special, plain_ids, decoded(plain_ids, False), decoded(with_special, True), [decoded([one], False) for one in plain_ids[:5]]]


def compact(made):
    parsed = json.loads(made.to_str())
    return {key: parsed[key] for key in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")}


lines = ['{"models": {', ",\n".join(f"{json.dumps(name)}: {json.dumps(model)}" for name, model in MODELS.items()), '}, "tokenizers": {']
blocks = []
for name, (model, made) in TOKENIZERS.items():
    rows = ",\n".join(json.dumps(row(made, text), ensure_ascii=True) for text in texts)
    blocks.append(f'{json.dumps(name)}: {{"model": {json.dumps(model)}, "parts": {json.dumps(compact(made))}, "rows": [\n{rows}\n]}}')
OUTPUT.parent.mkdir(parents=True, exist_ok=True)
OUTPUT.write_text("\n".join([*lines, ",\n".join(blocks), "}}\n"]))
print(f"{OUTPUT}: {len(TOKENIZERS)} tokenizers, {len(texts)} texts each, {OUTPUT.stat().st_size} bytes")
