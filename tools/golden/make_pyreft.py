"""Records what pyreft computes with its interventions on the tiny Llama, in data/pyreft: a folder of each as `ReftModel.save` writes it, logits
of two rows, of a prompt that is shorter than the positions, and twenty greedy tokens, whose prompt alone is changed.

Usage: python make_pyreft.py, in the environment of the adapters library, with
`pip install --no-deps pyreft==0.1.0 pyvene==0.1.8` and `pip install matplotlib accelerate "datasets<5" "huggingface-hub<1"`.
"""

import shutil

import torch
from pyreft import (
    DireftIntervention, LoreftIntervention, NodireftIntervention, NoreftIntervention, ReftConfig, ReftModel, get_intervention_locations, get_reft_model,
)

from common import DATA, draw_batch, save_tensors, shake, write_json
from models import VOCABULARY, load_model
from versions import versions

OUT = DATA / "pyreft"
HIDDEN = 16
SHORT = 3

# Intervention, its options, component of each representation, positions, whether first and last tokens share theirs.
CASES = {
    "loreft": (LoreftIntervention, dict(low_rank_dimension=3), [(0, "block_output"), (1, "block_output")], "f2+l3", True),
    "noreft": (
        NoreftIntervention, dict(low_rank_dimension=2, add_bias=True), [(l, "block_output") for l in (0, 1, 0, 1)], "f1+l3", False,
    ),
    "direft": (DireftIntervention, dict(low_rank_dimension=4), [(1, "model.layers[1].output")], "f3", True),
    "nodireft": (NodireftIntervention, dict(low_rank_dimension=2, add_bias=True, act_fn="gelu"), [(0, "block_output")], "l2", True),
}


def build(name: str) -> ReftModel:
    kind, options, places, _, _ = CASES[name]
    representations = [
        {
            "layer": layer, "component": component, "low_rank_dimension": options["low_rank_dimension"],
            "intervention": kind(embed_dim=HIDDEN, dtype=torch.float32, **options),
        }
        for layer, component in places
    ]
    return get_reft_model(load_model("plain"), ReftConfig(representations=representations))


def locations(name: str, length: int, rows: int) -> dict[str, tuple[None, list]]:
    """As pyreft's data have them: a token is put in front, which takes the edits that a short prompt has no place for."""
    _, _, places, positions, shared = CASES[name]
    found = get_intervention_locations(last_position=length, positions=positions, num_interventions=len(places), share_weights=shared)
    return {"sources->base": (None, [[[p + 1 for p in own]] * rows for own in found])}


def padded(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    front = torch.zeros(len(ids), 1, dtype=ids.dtype)
    return {"input_ids": torch.cat([front, ids], 1), "attention_mask": torch.cat([front, torch.ones_like(ids)], 1)}


@torch.no_grad()
def logits(model: ReftModel, name: str, ids: torch.Tensor) -> torch.Tensor:
    _, out = model(padded(ids), unit_locations=locations(name, ids.shape[1], len(ids)))
    return out.logits[:, 1:]


@torch.no_grad()
def greedy(model: ReftModel, name: str, ids: torch.Tensor) -> torch.Tensor:
    _, out = model.generate(
        padded(ids), unit_locations=locations(name, ids.shape[1], len(ids)), intervene_on_prompt=True, max_new_tokens=20, do_sample=False,
        output_logits=True, return_dict_in_generate=True,
    )
    best = torch.stack(out.logits, 1).topk(2).values
    if (best[..., 0] - best[..., 1]).min() < 1e-3:
        raise SystemExit(f"{name}: two tokens are almost equally likely: choose another seed")
    return out.sequences[0, -20:].int()


def make(name: str, ids: torch.Tensor) -> None:
    torch.manual_seed(3)
    model = build(name)
    model.eval()
    for intervention in model.interventions.values():
        intervention.eval()
        for parameter in intervention.parameters():
            shake(parameter, 0.3)
        if hasattr(intervention, "rotate_layer"):  # its diagonal holds signs
            intervention.rotate_layer.parametrizations.weight.original.data.fill_diagonal_(-1.0)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save(str(folder))
    save_tensors(OUT / f"{name}.safetensors", {
        "logits": logits(model, name, ids), "short": logits(model, name, ids[:1, :SHORT]), "greedy": greedy(model, name, ids[:1, :8]),
    })


def main() -> None:
    ids, _ = draw_batch(VOCABULARY)
    for name in CASES:
        make(name, ids)
    save_tensors(OUT / "ids.safetensors", {"ids": ids.int()})
    write_json(OUT / "versions.json", versions("pyreft") | versions("pyvene"))


if __name__ == "__main__":
    main()
