"""What llama.cpp makes of GGUF files of ours: greedy continuations by the base model in each storage, and with the adapter, in data/llamacpp/record.json.

Usage: python check_llamacpp.py FOLDER (as export-gguf.ts wrote it; `pip install xllamacpp==2026.10.11549`, a build of llama.cpp)
"""

import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

import xllamacpp

FOLDER = Path(sys.argv[1])
OUT = Path(__file__).parent / "data" / "llamacpp"
PROMPTS = ["The white whale", "It was the best of times, it was"]
TOKENS = 24


def server(model: Path, adapter: Path | None) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = 256
    params.warmup = False
    if adapter:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path = str(adapter)
        info.scale = 1.0
        params.lora_adapters = [info]
    return xllamacpp.Server(params)


def greedy(llama: xllamacpp.Server, prompt: str) -> str:
    ask = {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "samplers": ["top_k"], "top_k": 1, "cache_prompt": False}
    return llama.handle_completions(ask)["choices"][0]["text"]


record = {"xllamacpp": importlib.metadata.version("xllamacpp"), "tokens": TOKENS, "files": {}, "texts": {}}
for file in sorted(FOLDER.glob("*.gguf")):
    record["files"][file.stem] = hashlib.sha256(file.read_bytes()).hexdigest()
for name, adapter in [("F16", False), ("Q8_0", False), ("Q4_K_M", False), ("F16", True)]:
    llama = server(FOLDER / f"{name}.gguf", FOLDER / "adapter.gguf" if adapter else None)
    record["texts"][f"{name} with adapter" if adapter else name] = [greedy(llama, prompt) for prompt in PROMPTS]
OUT.mkdir(parents=True, exist_ok=True)
(OUT / "record.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
