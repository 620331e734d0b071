"""Makes tiny models, adapters on them by Hugging Face PEFT, and what transformers and PEFT compute with both, in
data/python; and tokens of the base model's tokenizer.

Usage: python make.py
"""

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer

from common import DATA, OUT, save_tensors, train, write_json
from models import VOCABULARY, load_model, make_models, record_base_logits
from peft_methods import LINEARS, make_peft_methods, save_adapter, shake_all, trainable
from versions import versions

TOKENIZER = DATA.parents[2] / "packages" / "base-model" / "model" / "tokenizer.json"

PATTERNS = dict(
    r=4, lora_alpha=12, use_rslora=True, target_modules=LINEARS["plain"],
    rank_pattern={"layers.1.self_attn.q_proj": 2, "down_proj": 3},
    alpha_pattern={"layers.1.self_attn.q_proj": 5, r"model\.layers\.\d+\.mlp\.(up|gate)_proj": 20},
)

LORAS = {
    "plain-default": ("plain", dict(r=4)),
    "plain-patterns": ("plain", PATTERNS),
    "llama3-tied-regex": ("llama3-tied", dict(r=3, lora_alpha=6, target_modules=r".*\.(q_proj|up_proj)")),
}


def make_lora(name: str, base: str, options: dict) -> None:
    torch.manual_seed(1)
    model = get_peft_model(load_model(base), LoraConfig(task_type="CAUSAL_LM", **options))
    params = trainable(model)
    shake_all(params)
    save_adapter(model, base, OUT / name / "adapter")

    ids = torch.randint(VOCABULARY, (2, 40))
    targets = ids.clone()
    targets[0, :5] = targets[1, 33:] = -100
    golden = {
        "ids": ids.int(),
        "labels": F.pad(targets[:, 1:], (0, 1), value=-100).int(),
        "logits": model(ids).logits,
        "greedy": model.generate(ids[:1, :8], max_new_tokens=20, do_sample=False)[0, 8:].int(),
    }
    golden |= train(model, params, ids, targets, weight_decay=0.1)
    save_tensors(OUT / name / "golden.safetensors", golden)


def make_tokens() -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    prose = (DATA / "held-out.txt").read_text(encoding="utf-8")
    odd = " \t\n\nTrès étrange:  naïve—12345 £6.50, 🐳🏴‍☠️ 鯨\r\n <|x|> "
    golden = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in (prose, odd)]
    for entry in golden:
        entry["decoded"] = tokenizer.decode(entry["ids"])
    write_json(OUT / "tokens.json", golden)


def main() -> None:
    make_models()
    record_base_logits()
    for name, (base, options) in LORAS.items():
        make_lora(name, base, options)
    make_peft_methods()
    make_tokens()
    write_json(OUT / "versions.json", versions("peft"))


if __name__ == "__main__":
    main()
