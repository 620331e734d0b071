"""Files of data as Python's libraries write and cut them, for the tests of packages/data: `python make_data.py` (pip install trl==1.16.0)."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

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


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    parquet()
