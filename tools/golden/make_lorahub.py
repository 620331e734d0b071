"""Records what LoRAHub's own code makes of three LoRAs of a tiny model, in data/python/lorahub: the adapters, and for some weights of them the loss over four examples and the score that its search lowers.
https://github.com/sail-sg/lorahub

Its `default_get_loss` divides the sum of the losses of batches by the number of examples, so that it depends on how these are batched: here all are one batch, and what it returns is multiplied by their number,
which makes it the mean loss of the paper.

Usage: python make_lorahub.py FOLDER, with a checkout in it of sail-sg/lorahub
"""

import copy
import sys
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.utils.data import DataLoader
from transformers import default_data_collator

from authors import parts
from common import IGNORED, OUT, save_tensors, shake, shift
from models import VOCABULARY, load_model

COUNT, EXAMPLES = 3, 4


class Rows(list):
    """Examples as their code asks for them: by number, and a column by its name."""

    def __getitem__(self, key: int | str) -> object:
        return [row["input_ids"] for row in self] if key == "input" else super().__getitem__(key)


def main(root: Path) -> None:
    torch.manual_seed(11)
    given = dict(torch=torch, DataLoader=DataLoader, default_data_collator=default_data_collator, set_peft_model_state_dict=set_peft_model_state_dict)
    theirs = parts(root / "lorahub/lorahub/algorithm.py", "default_get_loss", "default_l1_regularization", "get_score", **given)
    out, cache = OUT / "lorahub", {}
    for i in range(COUNT):
        model = get_peft_model(load_model("plain"), LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"]))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                shake(parameter, 0.3)
        model.peft_config["default"].base_model_name_or_path = "plain"
        model.save_pretrained(out / str(i))
        (out / str(i) / "README.md").unlink()
        cache[str(i)] = copy.deepcopy(get_peft_model_state_dict(model))
    ids = torch.randint(VOCABULARY, (EXAMPLES, 12))
    targets = ids.clone()
    targets[:, :4] = IGNORED
    rows = Rows(dict(input_ids=one, labels=own) for one, own in zip(ids, targets, strict=True))
    model.eval()
    loss_of = lambda *args: theirs["default_get_loss"](*args) * EXAMPLES  # noqa: E731
    score = partial(theirs["get_score"], model=model, cache=cache, example_dataset=rows, batch_size=None, get_loss=loss_of)
    weights = torch.cat([torch.zeros(1, COUNT), torch.eye(COUNT)[1:2], 3 * torch.rand(4, COUNT) - 1.5])
    losses, scores = (torch.tensor([score(w.tolist(), get_regular=regular) for w in weights]) for regular in (lambda w: 0.0, theirs["default_l1_regularization"]))
    save_tensors(out / "golden.safetensors", dict(ids=ids.int(), labels=shift(targets), weights=weights, losses=losses, scores=scores))
    print(losses, scores)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
