"""Records what transformers computes with the tiny GPT-2 that make.py made, without any adapter: logits, loss, gradient of
every weight and greedy tokens, in data/python/gpt2-base.

Usage: python make_gpt2.py
"""

from common import OUT, continue_greedily, draw_batch, save_tensors, shift
from models import VOCABULARY, load_model


def main() -> None:
    model = load_model("gpt2")
    ids, targets = draw_batch(VOCABULARY)
    out = model(ids, labels=targets)
    out.loss.backward()
    golden = {
        "ids": ids.int(),
        "labels": shift(targets),
        "logits": out.logits,
        "losses": out.loss[None],
        "greedy": continue_greedily(model, ids),
    }
    golden |= {f"gradient {name}": parameter.grad for name, parameter in model.named_parameters()}
    save_tensors(OUT / "gpt2-base" / "golden.safetensors", golden)


if __name__ == "__main__":
    main()
