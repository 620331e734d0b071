"""Authors' code of what AutoPEFT searches and of how MerA brings units together, beside ours: a part of check_authors.py."""

import ast
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from transformers.activations import get_activation

from authors import apart, parts
from make_mera import UNITS, WIDTH, draw_adapters, merged_by

SILENT = dict(print=lambda *said: None)


def auto_peft(root: Path) -> float:
    """AutoPEFT's adapters after and beside an MLP, together and one without the other: y + SA(y + h) + 4·PA(h), where SA does not read what PA adds; and the sizes that a point of its space stands for."""
    folder = root / "autopeft/adapter-transformers-adapters3.1.0/src/transformers/adapters"
    names = ("Activation_Function_Class", "Adapter")
    Adapter = parts(folder / "modeling_sappa.py", *names, nn=nn, torch=torch, math=math, get_activation=get_activation, AdapterConfig=dict)["Adapter"]
    config = dict(ln_before=False, ln_after=False, adapter_residual_before_ln=False, use_gating=False, residual_before_ln=True, original_ln_before=True, original_ln_after=True)
    config |= dict(reduction_factor_pa=2, phm_layer=False, non_linearity="relu", scaling=1.0, scaling_pa=4.0, init_weights="bert")
    y, h, worst = torch.randn(2, 5, WIDTH), torch.randn(2, 5, WIDTH), 0.0
    for alone in ((False, False), (True, False), (False, True)):
        theirs = Adapter("own", WIDTH, 4, config | dict(zip(("is_sa_alone", "is_pa_alone"), alone, strict=True)))
        for parameter in theirs.parameters():
            nn.init.normal_(parameter)
        read, _, residual = theirs.pre_forward(y, h, None)
        after, _, _, beside, *_ = theirs(read, residual_input=residual, x_pa=h)
        whole = theirs.post_forward(beside, after, h, None, y)
        serial, parallel = theirs.adapter_up(theirs.adapter_down(y + h)), 4 * theirs.adapter_up_pa(theirs.adapter_down_pa(h))
        worst = max(worst, apart(whole, y + h + (0 if alone[1] else serial) + (0 if alone[0] else parallel)))
    for halved in range(11):
        sizes, own = sizes_of(root, halved), 768 >> halved
        if sizes != ((own, own, own) if own else ()):
            raise SystemExit(f"auto_peft: halved {halved} times they have {sizes}")
    return worst


def sizes_of(root: Path, halved: int) -> tuple[int, ...]:
    """Widths of both adapters and tokens of the prefix where each is d = 768 halved so often, of the statements that make configurations; none where there is none."""
    tree = ast.parse((root / "autopeft/adapterhub/nas_search.py").read_text())
    own = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "model_args.adapter_name == 'sappa'"]
    config = lambda kind: lambda **given: {kind: given}  # noqa: E731
    library = SimpleNamespace(PrefixTuningConfig=config("prefix"), AutoPEFTConfig=config("adapter"))
    point = dict.fromkeys(("reduction_factor", "reduction_serial", "reduction_prefix"), 2**halved) | dict(leave_out=[])
    space = dict(model_args=SimpleNamespace(adapter_name="sappa"), random_args=point, default_mam_arg={}, transformers=library, adapter_config=None)
    space["ConfigUnion"] = lambda *made: {name: given for one in made for name, given in one.items()}
    first, second = own
    exec(compile(ast.Module([first], []), "first", "exec"), space)
    space["default_arg"].update(point)
    exec(compile(ast.Module([second], []), "second", "exec"), space)
    made = space["adapter_config"]
    if made is None:
        return ()
    adapter = made["adapter"]
    return (768 // adapter["reduction_factor"], 768 // adapter["reduction_factor_pa"], made["prefix"]["prefix_length"])


class Bottleneck(nn.Module):
    """Two matrices without biases, of which their code knows nothing."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(WIDTH, UNITS, bias=False), nn.Linear(UNITS, WIDTH, bias=False)
        self.down.weight.data, self.up.weight.data = down, up


def mera(root: Path) -> float:
    """Bottlenecks whose units are brought next to the first one's by their activations."""
    import ot

    metric = parts(root / "otfusion/ground_metric.py", "GroundMetric", torch=torch, isnan=torch.isnan, **SILENT)["GroundMetric"]
    helpers = ("get_histogram", "_check_activation_sizes", "process_activations", "_reduce_layer_name", "_get_layer_weights", "_process_ground_metric_from_acts", "_sanity_check_tmap")
    helpers += ("cost_matrix", "_check_layer_sizes", "_compute_marginals", "_get_current_layer_transport_map", "get_activation_distance_stats", "print_stats", "get_acts_wassersteinized_layers_modularized")
    theirs = parts(root / "otfusion/wasserstein_ensemble.py", *helpers, ot=ot, torch=torch, np=np, math=math, GroundMetric=metric, **SILENT)
    # As their page has it, without the division by the number of samples, which changes no order.
    given = dict(ground_metric="euclidean", ground_metric_normalize="none", ground_metric_eff=False, reg=0.01, not_squared=True, debug=False, clip_gm=False)
    given |= dict(geom_ensemble_type="acts", normalize_wts=False, activation_histograms=True, dist_normalize=False, act_num_samples=1, handle_skips=False)
    given |= dict(update_acts=False, eval_aligned=False, gpu_id=-1, width_ratio=1, same_model=-1, importance=None, unbalanced=False, gromov=False, exact=True)
    given |= dict(skip_last_layer=True, skip_last_layer_type="average", ensemble_step=0.5, print_distances=False, tmap_stats=False, correction=True)
    args = SimpleNamespace(**given, proper_marginals=False, past_correction=True, act_bug=False)
    adapters, texts, worst = draw_adapters(), torch.randn(40, WIDTH), 0.0
    seen = [texts @ down.T + bias for down, bias, _ in adapters]
    anchor = 0
    for other in (1, 2):
        order = (other, anchor)  # theirs brings the first to the second
        networks = [Bottleneck(adapters[i][0], adapters[i][2]) for i in order]
        activations = [{"down": seen[i], "up": torch.zeros(len(texts), WIDTH)} for i in order]
        down, up = theirs["get_acts_wassersteinized_layers_modularized"](args, networks, activations)
        ours = merged_by([seen[anchor].T, seen[other].T], [adapters[anchor], adapters[other]], (0.5, 0.5))
        worst = max(worst, apart(down, ours[0]), apart(up, ours[2]))
    return worst


CHECKS = (auto_peft, mera)
