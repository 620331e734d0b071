"""Adapters of the adapters library on tiny models of data/python/families, with their heads: records what it computes with them, or loads ours from data/peftjs/families, of which it has to take every tensor.

Usage: python make_hub_families.py make|check [NAME ...], where a name is bert-sequence/hub-lora; all without one
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import adapters
import torch
import transformers
from adapters import BnConfig, CompacterConfig, DoubleSeqBnConfig, LoRAConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig, SeqBnInvConfig
from safetensors.torch import load_file

from adapters_methods import save_adapter, trainable
from check_all import hashes
from common import DATA, IGNORED, OUT, save_tensors, shake, write_json
from versions import versions


@dataclass
class Case:
    config: object
    # Adds a head of the name to an `…AdapterModel`; none for the head that the class of transformers has.
    head: Callable[[torch.nn.Module, str], None] | None = None
    # The adapter's and its head's, which is `default` in our files.
    name: str = "default"
    safe: bool = False
    # Of the labels, where they are not those that the model's golden has.
    labels: torch.Tensor | None = None


def stack(kind: str, **options: object) -> Callable[[torch.nn.Module, str], None]:
    return lambda model, name: getattr(model, f"add_{kind}_head")(name, **options)


def prefix(**options: object) -> PrefixTuningConfig:
    return PrefixTuningConfig(**dict(prefix_length=3, bottleneck_size=5) | options)


def lora() -> LoRAConfig:
    return LoRAConfig(r=2, alpha=3, attn_matrices=["q", "v"])


CLASSES = dict(num_labels=3)
CASES = {
    "t5/hub-prefix-tuning": Case(PrefixTuningConfig(prefix_length=4, bottleneck_size=6)),
    "bart-even/hub-prefix-tuning": Case(PrefixTuningConfig(prefix_length=3, flat=True, encoder_prefix=False)),
    "bert-sequence/hub-lora": Case(lora(), safe=True),
    "bert-sequence/hub-stack": Case(prefix(), stack("classification", id2label={0: "ham", 1: "spam", 2: "eggs"}, **CLASSES), name="topics"),
    "bert-sequence/hub-labels": Case(
        lora(), stack("classification", layers=1, multilabel=True, use_pooler=True, **CLASSES), safe=True, labels=torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 1, 0]])
    ),
    "bert-token/hub-tags": Case(lora(), stack("tagging", layers=2, activation_function="gelu", **CLASSES), safe=True),
    "bert-answers/hub-answers": Case(prefix(flat=True), stack("qa")),
    "bert-choice/hub-choice": Case(lora(), stack("multiple_choice", num_choices=3, use_pooler=True), safe=True),
    "roberta-sequence/hub-lora": Case(lora(), safe=True),
    "roberta-sequence/hub-stack": Case(prefix(), stack("classification", layers=3, activation_function="relu", **CLASSES), name="topics"),
    "t5-sequence/hub-prefix-tuning": Case(prefix()),
    "t5-sequence/hub-stack": Case(prefix(), stack("classification", **CLASSES)),
    "t5-token/hub-prefix-tuning": Case(prefix()),
    "t5-answers/hub-answers": Case(lora(), stack("qa", layers=2), safe=True),
    "t5/hub-language": Case(prefix(), stack("seq2seq_lm"), name="writer"),
    "bart-sequence/hub-lora": Case(lora(), safe=True),
    "bart-sequence/hub-stack": Case(lora(), stack("classification", activation_function=None, **CLASSES)),
    "vit-image/hub-lora": Case(lora(), safe=True),
    "vit-image/hub-numbers": Case(prefix(), stack("image_classification", layers=2, num_labels=1), labels=torch.tensor([0.5, -1.0, 2.0])),
    "clip-pairs/hub-lora": Case(lora(), safe=True),
    # Bottlenecks, which read the norm of a sum where norms come after.
    "bert-sequence/hub-bottleneck": Case(SeqBnConfig(reduction_factor=4), safe=True),
    "bert-sequence/hub-places": Case(
        BnConfig(mh_adapter=True, output_adapter=True, reduction_factor=3, non_linearity="gelu", original_ln_before=True, residual_before_ln=False,
                 ln_before=True, ln_after=True, scaling=1.5, leave_out=[0])
    ),
    "bert-sequence/hub-parallel": Case(ParBnConfig(reduction_factor=4, scaling=2.0), safe=True),
    "bert-sequence/hub-invertible": Case(SeqBnInvConfig(reduction_factor=4), safe=True),
    "bert-sequence/hub-compacter": Case(CompacterConfig(phm_dim=2, reduction_factor=4), safe=True),
    "roberta-sequence/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "xlm-roberta-token/hub-bottleneck": Case(SeqBnConfig(reduction_factor=4), safe=True),
    "distilbert-sequence/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "electra-sequence/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "deberta-v2-sequence/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "bart-sequence/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4, original_ln_before=True, leave_out=[1, 3]), safe=True),
    "t5/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "t5-sequence/hub-bottleneck": Case(SeqBnConfig(reduction_factor=4, leave_out=[0, 3])),
    "vit-image/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
    "clip-pairs/hub-bottleneck": Case(DoubleSeqBnConfig(reduction_factor=4), safe=True),
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids", "decoder_attention_mask", "pixel_values")
FLOATS = ("pixel_values",)


def load_base(name: str, case: Case) -> torch.nn.Module:
    folder = OUT / "families" / name / "model"
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    if case.head:
        kind = f"{architecture.split('For')[0]}AdapterModel"
        if name == "t5-answers":  # from_pretrained takes its names for those of a corrupted file
            model = adapters.T5AdapterModel(transformers.T5Config.from_pretrained(folder, attn_implementation="eager"))
            model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
            model.tie_weights()
        else:
            model = getattr(adapters, kind).from_pretrained(folder, attn_implementation="eager")
        for head in list(model.heads):  # it makes one of the file's own
            model.delete_head(head)
    else:
        model = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager")
        adapters.init(model)
    model.config.name_or_path = name  # written into the adapter's configuration
    return model.eval()


def read_rows(name: str, case: Case) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    recorded = load_file(OUT / "families" / name / "golden.safetensors")
    inputs = {key: recorded[key] if key in FLOATS else recorded[key].long() for key in INPUTS if key in recorded}
    if name == "clip-pairs":
        return inputs, {"return_loss": True}
    if case.labels is not None:
        return inputs, {"labels": case.labels}
    if "start_positions" in recorded:
        return inputs, {key: recorded[key].long() for key in ("start_positions", "end_positions")}
    labels = recorded["labels"].long()
    if name.endswith("choice"):  # stored as 1 at the right row; its classes take a question's rows together
        one = case.head is None
        return {k: v[None] if one else v for k, v in inputs.items()}, {"labels": labels.argmax()[None]}
    if name == "bert-token":  # its head leaves out what the mask hides, whatever the labels
        labels = labels.masked_fill(inputs["attention_mask"] == 0, IGNORED)
    return inputs, {"labels": labels}


def logits_of(output: object) -> torch.Tensor:
    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], -1)
    return output.logits_per_image if hasattr(output, "logits_per_image") else output.logits


def save(model: torch.nn.Module, folder: Path, case: Case) -> None:
    if not case.head and folder.parts[-3] in ("t5", "bart-even"):
        save_adapter(model, folder)
    else:
        model.save_adapter(str(folder), case.name, use_safetensors=case.safe)


def make(name: str, adapter: str, case: Case) -> None:
    torch.manual_seed(1)
    model = load_base(name, case)
    inputs, labels = read_rows(name, case)
    if case.head is None:
        with torch.no_grad():
            recorded = load_file(OUT / "families" / name / "golden.safetensors")["logits"]
            if (distance := (logits_of(model(**inputs)) - recorded).abs().max()) > 1e-4:
                raise SystemExit(f"{name} computes something else with this version of transformers: {distance} away")
    model.add_adapter(case.name, config=case.config)
    if case.head:
        case.head(model, case.name)
    model.train_adapter(case.name)
    model.eval()
    params = trainable(model)
    if adapter == "hub-language":  # the head is the table of tokens
        params = {n: p for n, p in params.items() if ".heads." not in f".{n}"}
    for parameter in params.values():
        shake(parameter, 0.1 if name.startswith("t5") else 0.2)  # its scores are not divided by sqrt(d)
    out = OUT / "families" / name / adapter
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    save(model, out / "adapter", case)
    if case.head and adapter != "hub-language":
        model.save_head(str(out / "head"), case.name, use_safetensors=case.safe)
    golden = {"logits": logits_of(model(**inputs))}
    if case.labels is not None or name == "bert-token":
        wide = labels["labels"].int() if case.labels is None else case.labels if case.labels.ndim == 2 else case.labels[:, None]
        recorded = load_file(OUT / "families" / name / "golden.safetensors")
        own = {"labels" if case.labels is None else "float_labels": wide}
        golden |= {key: recorded[key] for key in INPUTS if key in recorded} | own
    optimizer = torch.optim.AdamW(params.values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        loss = model(**inputs, **labels).loss
        loss.backward()
        if step == 0:
            golden |= {f"gradient {ours(n, case)}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss.detach())
    trained = {f"trained {ours(n, case)}": p for n, p in params.items()}
    save_tensors(out / "golden.safetensors", golden | trained | {"losses": torch.stack(losses)})


def ours(name: str, case: Case) -> str:
    of_task = name.removeprefix("transformer.") if case.name == "writer" else name  # the task's class has no such module
    return of_task.replace(f".{case.name}.", ".default.")


@torch.no_grad()
def check(name: str, adapter: str, case: Case) -> None:
    folder: Path = DATA / "peftjs" / "families" / name / adapter
    if adapter == "hub-language":  # its head is the model's own, and ours is saved without one
        case = Case(case.config)
    model = load_base(name, case)
    own = set(model.state_dict())
    model.load_adapter(str(folder / "adapter"), set_active=True, use_safetensors=True)
    given = {n: t for file in (folder / "adapter").glob("*.safetensors") for n, t in load_file(file).items()}
    state = model.state_dict()
    twice = {state[n].data_ptr() for n in given if n in state}  # a norm before a bottleneck has a second name
    loaded = {
        n: t for n, t in state.items() if n in given or (n not in own and ".pool." not in n and t.data_ptr() not in twice)
    }
    if (missing := given.keys() ^ loaded.keys()) or any(not torch.equal(loaded[n], t) for n, t in given.items()):
        raise SystemExit(f"{folder}: the library has other tensors: {sorted(missing)}")
    inputs = read_rows(name, case)[0]
    logits = logits_of(model.eval()(**inputs))
    if (folder / "head").exists():  # a head alone
        model = load_base(name, case)
        model.load_adapter(str(folder / "adapter"), with_head=False, set_active=True, use_safetensors=True)
        model.load_head(str(folder / "head"), use_safetensors=True)
        if not torch.equal(logits_of(model.eval()(**inputs)), logits):
            raise SystemExit(f"{folder}: the head alone is another")
    save_tensors(folder / "record.safetensors", {"logits": logits})
    base = {"model.safetensors": hashes(OUT / "families" / name / "model")["model.safetensors"]}
    write_json(folder / "record.json", {"versions": versions("adapters"), "base": base, "adapter": hashes(folder / "adapter")}, indent=2)


if __name__ == "__main__":
    for path, case in CASES.items():
        if not sys.argv[2:] or path in sys.argv[2:]:
            (make if sys.argv[1] == "make" else check)(*path.split("/"), case)
