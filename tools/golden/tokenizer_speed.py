"""How fast Python's tokenizers encode texts, line by line, in processor time, and a digest of the ids: beside tokenizer-speed.ts.

Usage: python tokenizer_speed.py TEXT FOLDER...
"""

import hashlib
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

path, *folders = sys.argv[1:]
with open(path, encoding="utf8") as file:
    lines = [line for line in file.read().split("\n") if line]
size = sum(len(line.encode()) for line in lines)
for folder in folders:
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    for line in lines[:200]:
        tokenizer.encode(line, add_special_tokens=False)
    start = time.process_time()
    encoded = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    seconds = time.process_time() - start
    digest = hashlib.sha256()
    for ids in encoded:
        digest.update((",".join(map(str, ids)) + "\n").encode())
    print(f"{folder}: {sum(map(len, encoded))} tokens, {size / seconds / 1e6:.2f} MB/s, ids {digest.hexdigest()[:16]}")
