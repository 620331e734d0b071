"""Files of data as Python's libraries write and cut them, for the tests of packages/data: `python make_data.py` (pip install trl==1.16.0)."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from trl import pack_dataset
from trl.data_utils import common_prefix_length

OUT = Path(__file__).parent / "data/data"


def rows():
    """Rows of a chat: nested lists of objects, 64-bit numbers, none at all, bytes, and texts beyond ASCII."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"Question {i}, and a Grüß 🐋?"},
                {"role": "assistant", "content": "A whale. " * (i % 4 + 1)},
            ],
            "label": i,
            "score": i / 4,
            "source": None if i % 3 == 0 else f"s{i}",
            "image": bytes([i, 255, 0]),
        }
        for i in range(11)
    ]


def parquet():
    table = pa.Table.from_pylist(rows())
    for codec in ["snappy", "zstd", "gzip"]:
        pq.write_table(table, OUT / f"{codec}.parquet", compression=codec, row_group_size=4)
    plain = [{**row, "image": list(row["image"])} for row in rows()]
    (OUT / "rows.json").write_text(json.dumps(plain, ensure_ascii=False))


TEXTS = ["Captain Ahab hunts the white whale.", "Who hunts it? Ahab does; why, nobody knows.", "A naive cafe near the sea, 1851."]


def bert():
    """A small WordPiece tokenizer that joins two texts as BERT does."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(TEXTS * 2, trainers.WordPieceTrainer(vocab_size=90, special_tokens=specials, show_progress=False))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def fast(made):
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")


def pairs(made):
    """Two texts by each kind of post-processor: (its JSON, ids, kinds)."""
    kinds = [
        made.post_processor,
        processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
        processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), add_prefix_space=False),
        processors.ByteLevel(),
        processors.Sequence([processors.ByteLevel(), made.post_processor]),
    ]
    for kind in kinds:
        made.post_processor = kind
        out = made.encode("Who hunts it?", "the whale")
        yield {"processor": json.loads(made.to_str())["post_processor"], "ids": out.ids, "types": out.type_ids}
    made.post_processor = kinds[0]


def tags(tokenizer):
    """The first piece of each word labelled, as transformers' run_ner.py aligns them."""
    words, classes = ["Ahab", "hunts", "whales", "near", "cafe", "1851", "."], [1, 0, 2, 0, 3, 4, 0]
    ids = tokenizer(words, is_split_into_words=True)
    labels, before = [], None
    for word in ids.word_ids():
        labels.append(-100 if word is None or word == before else classes[word])
        before = word
    return {"tokens": words, "tags": classes, "ids": ids["input_ids"], "labels": labels}


def questions(tokenizer):
    """Windows of a text with the places of an answer, as transformers' run_qa.py makes them (prepare_train_features)."""
    question, answer = " Who hunts it?", "the white whale"
    context = "Nobody knows why. " + TEXTS[0] + " " + TEXTS[1]
    start = context.index(answer)
    made = tokenizer(question.lstrip(), context, truncation="only_second", max_length=32, stride=8, return_overflowing_tokens=True,
                     return_offsets_mapping=True, return_token_type_ids=True)
    rows = []
    for i, offsets in enumerate(made["offset_mapping"]):
        second = [t for t, of in enumerate(made.sequence_ids(i)) if of == 1]
        first, last = second[0], second[-1]
        row = {"ids": made["input_ids"][i], "types": made["token_type_ids"][i], "start": 0, "end": 0}
        if offsets[first][0] <= start and offsets[last][1] >= start + len(answer):
            while first < len(offsets) and offsets[first][0] <= start:
                first += 1
            while offsets[last][1] >= start + len(answer):
                last -= 1
            row["start"], row["end"] = first - 1, last + 1
        rows.append(row)
    return {"question": question, "context": context, "answer": answer, "at": start, "rows": rows}


def completions(tokenizer):
    """Prompts and completions as TRL's SFTTrainer writes and masks them (tokenize_fn); the last prompt ends within a token."""
    given = [("Who hunts the whale?", " Ahab does."), ("Question: why?\nAnswer:", " Nobody knows."), ("The wha", "le swims.")]
    for prompt, completion in given:
        ids = tokenizer(text=prompt + completion + tokenizer.eos_token)["input_ids"]
        before = common_prefix_length(tokenizer(text=prompt)["input_ids"], ids)
        yield {"prompt": prompt, "completion": completion, "ids": ids, "before": before}


def bins():
    """Which rows TRL packs together, by best fit of the longest first (pack_dataset)."""
    lengths = [5, 3, 9, 2, 2, 7, 1, 10, 4, 6, 3]
    rows = Dataset.from_dict({"input_ids": [[i] * length for i, length in enumerate(lengths)]})
    packed = pack_dataset(rows, 10, "bfd", {"batch_size": len(lengths)})
    return {"lengths": lengths, "context": 10, "bins": [list(dict.fromkeys(ids)) for ids in packed["input_ids"]]}


def rows_of_python():
    made = bert()
    base = AutoTokenizer.from_pretrained(Path(__file__).parent / "../../packages/base-model/model")
    out = {
        "pairs": list(pairs(made)),
        "tags": tags(fast(made)),
        "questions": questions(fast(made)),
        "completions": list(completions(base)),
        "bins": bins(),
        "tokenizer": json.loads(made.to_str()),
    }
    (OUT / "rows-of-python.json").write_text(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    parquet()
    rows_of_python()
