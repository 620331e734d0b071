"""Authors' code of methods of many tasks and of what is searched, beside ours: a part of check_authors.py."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import get_activation

from authors import apart, parts
from own_prompts import Attempt, Hyperformer, HyperformerPlusPlus
from families import load_model
from own_vision import noah as own_noah
from pha import TASK, PhaNetwork

WIDTH, LAYERS = 16, 2


def shaken(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def attempt(root: Path) -> float:
    """ATTEMPT's encoder as far as its blocks, of which it has none here: prompts by attention in front of the embedded text."""

    class Base(nn.Module):
        def __init__(self, config: SimpleNamespace) -> None:
            super().__init__()
            self.config = config

        init_weights = get_extended_attention_mask = get_head_mask = lambda self, *args: None

    T5Stack = parts(
        root / "ATTEMPT/attempt/third_party/models/t5/modeling_t5.py",
        "T5Stack",
        T5PreTrainedModel=Base,
        T5LayerNorm=lambda width, eps: nn.Identity(),
        BaseModelOutputWithPastAndCrossAttentions=SimpleNamespace,
        PARALLELIZE_DOCSTRING="",
        DEPARALLELIZE_DOCSTRING="",
        add_start_docstrings=lambda *args: lambda f: f,
        **dict(nn=nn, F=F, torch=torch),
    )["T5Stack"]
    config = SimpleNamespace(
        is_decoder=False, prefix_tuning=True, num_layers=0, d_model=WIDTH, layer_norm_epsilon=1e-6, dropout_rate=0.0, use_cache=False, output_attentions=False
    )
    config.output_hidden_states, config.use_return_dict = False, True
    embedding, temperature = nn.Embedding(32, WIDTH), 3.0
    ours = Attempt(
        SimpleNamespace(config=config, get_input_embeddings=lambda: embedding), dict(num_virtual_tokens=5, num_sources=3, num_tasks=2, bottleneck_dim=100, temperature=temperature)
    )
    theirs = T5Stack(
        config, embedding, SimpleNamespace(prefix_dim=5), ours.targets, True, ours.sources, WIDTH, "sub", shared_attn=True, temperature=temperature
    )
    theirs.attn_W_down.weight, theirs.attn_W_up.weight = ours.down, ours.up
    theirs.layer_norm.weight, theirs.layer_norm.bias = (nn.Parameter(torch.randn(WIDTH)) for _ in range(2))
    ours.norm = [theirs.layer_norm.weight, theirs.layer_norm.bias]
    ids = torch.randint(0, 32, (3, 7))
    whole = theirs(ids, task_ids=torch.tensor([1, 1, 1])).last_hidden_state
    x = embedding(ids)
    return apart(whole, torch.cat([ours.front(x), x], dim=1))


def hyperformer(root: Path) -> float:
    """Both of Hyperformer's networks, and the adapters of what they make, in each place of each layer."""
    folder = root / "hyperformer/hyperformer/adapters"
    made = parts(folder / "adapter_utils.py", "init_linear_layer", "linear_layer", "TaskHyperNet", "LayerNormHyperNet", nn=nn, torch=torch)
    outputs = {name: SimpleNamespace for name in ("SamplerOutput", "LayerNormOutput", "AdapterOutput", "AdapterT5BlockOutput")}
    names = ("AdapterLayersHyperNet", "AdapterLayersHyperNetController", "AdapterLayersOneHyperNetController")
    nets = parts(folder / "adapter_modeling.py", *names, nn=nn, torch=torch, **outputs, **{name: made[name] for name in ("linear_layer", "TaskHyperNet", "LayerNormHyperNet")})
    apply = parts(folder / "adapter_controller.py", "MetaLayersAdapterController", nn=nn, F=F, torch=torch, get_activation=get_activation)["MetaLayersAdapterController"]
    sizes = dict(task_embedding_dim=6, projected_task_embedding_dim=5, task_hidden_dim=7)
    worst = 0.0
    for name, kind in ((names[1], Hyperformer), (names[2], HyperformerPlusPlus)):
        config = SimpleNamespace(input_dim=WIDTH, reduction_factor=4, non_linearity="gelu_new", device="cpu", unique_hyper_net_layer_norm=True, **sizes)
        config.add_layer_norm_before_adapter, config.add_layer_norm_after_adapter, config.train_task_embeddings = False, True, False
        theirs = shaken(nets[name](config, num_layers=LAYERS))
        base = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=LAYERS), get_input_embeddings=lambda: nn.Embedding(8, WIDTH), named_modules=lambda: [])
        ours = kind(base, dict(num_tasks=2, reduction_factor=4, **sizes))
        for at, parameter in theirs.named_parameters():
            ours.tensors[ours.name(at)].data = parameter.data
        controller = apply(config)
        x = torch.randn(3, 4, WIDTH)
        for layer in range(LAYERS):
            block = theirs(ours.task[-1], layer)
            for place, weights in enumerate((block.feed_forward, block.self_attention)):
                worst = max(worst, apart(controller(x, weights), ours.adapted(x, layer, place)))
    return worst


def pha(root: Path) -> float:
    """PHA's generator and adapter layer, and its two losses."""
    space = parts(root / "PHA/modeling/adapter_generators.py", "hyperfanin_init_weight", "hyperfanin_init_bias", "SimpleGenerator", "ParameterGenerator", nn=nn, torch=torch, math=math)
    config = SimpleNamespace(encoder_adapter_dim=3, decoder_adapter_dim=3, hypernetwork_bottleneck=128, num_hidden_layers=LAYERS, hidden_size=WIDTH)
    generator = shaken(space["ParameterGenerator"](config, WIDTH))
    layer = parts(root / "PHA/modeling/adapter_layer.py", "AdapterLayer", nn=nn)["AdapterLayer"](config)
    losses = parts(root / "PHA/third_party/trainers/t5_trainer.py", "T5Trainer._ins_ins_loss", "T5Trainer._pro_ins_loss", F=F, torch=torch)
    tensors: dict[str, nn.Parameter] = {}

    def make(name: str, value: torch.Tensor) -> nn.Parameter:
        return tensors.setdefault(name, nn.Parameter(value))

    sizes = dict(num_tasks=3, adapter_dim=3, task_embedding_dim=64, projected_task_embedding_dim=64, hypernetwork_bottleneck=128)
    ours = PhaNetwork(make, WIDTH, LAYERS, WIDTH, **sizes, contrast_weight=0.1, contrast_temperature=0.1)
    for name, parameter in generator.named_parameters():
        own = name.removeprefix("decoder.")
        tensors[f"param_gen.{own}"].data = parameter.data
    x, worst = torch.randn(4, 5, WIDTH), 0.0
    for i, (up, down, up_bias, down_bias) in enumerate(generator(ours.prototypes[TASK].expand(4, -1))):
        layer.apply_adapter_params(4, up, down, up_bias, down_bias)
        worst = max(worst, apart(layer(x), ours.adapter(x, i)))
    texts, tasks = torch.randn(4, WIDTH), torch.full((4,), TASK)
    features = ours.through("mlp.2", ours.through("mlp.0", texts).relu())
    total = losses["_ins_ins_loss"](None, features, tasks) + losses["_pro_ins_loss"](None, features, tasks, ours.prototypes)
    return max(worst, apart(total, ours.loss(texts)))


class PatchEmbed(nn.Module):
    """timm's, for pictures and patches of any sides."""

    def __init__(self, img_size: list[int], patch_size: list[int], in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.num_patches = math.prod(a // b for a, b in zip(img_size, patch_size, strict=True))
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Mlp(nn.Module):
    """timm's."""

    def __init__(self, in_features: int, hidden_features: int, act_layer: type, drop: float) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(in_features, hidden_features), act_layer(), nn.Linear(hidden_features, in_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


def noah(root: Path) -> float:
    """NOAH's whole supernet with the sizes of a structure, over the weights of a model of transformers; and how many values it says that those are, without the embedding's rows, which its first layer throws away."""
    adapter = parts(root / "NOAH/model/module/adapter_super.py", "QuickGELU", "AdapterSuper", nn=nn, F=F, torch=torch, print=lambda *said: None)
    names = ("Attention", "Block", "VisionTransformer", "_init_vit_weights")
    given = dict(nn=nn, F=F, torch=torch, math=math, partial=partial, PatchEmbed=PatchEmbed, Mlp=Mlp, DropPath=nn.Identity, print=lambda *said: None)
    given |= dict(AdapterSuper=adapter["AdapterSuper"], trunc_normal_=nn.init.trunc_normal_, named_apply=lambda f, model: None)
    VisionTransformer = parts(root / "NOAH/model/supernet_vision_transformer_timm.py", *names, **given)["VisionTransformer"]
    worst = 0.0
    for prompts, ranks, widths in (([3, 2], [2, 0], [0, 3]), ([2, 0], [1, 2], [3, 1])):
        hub, tensors = load_model("vit-image"), {}
        config = hub.config

        def make(name: str, value: torch.Tensor, tensors: dict = tensors) -> nn.Parameter:
            return tensors.setdefault(name, nn.Parameter(torch.randn_like(value)))

        own_noah(hub, make, prompts, ranks, widths, 0.0)
        sizes = dict(img_size=config.image_size, patch_size=config.patch_size, num_classes=config.num_labels, embed_dim=config.hidden_size, depth=config.num_hidden_layers)
        theirs = VisionTransformer(
            **sizes, num_heads=config.num_attention_heads, mlp_ratio=config.intermediate_size / config.hidden_size, norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
            super_prompt_tuning_dim=4, super_LoRA_dim=4, super_adapter_dim=4, super_prefix_dim=0, IS_not_position_VPT=True,
        ).eval()  # fmt: skip
        with torch.no_grad():
            copy_vit(theirs, hub)
            for name, value in tensors.items():
                layer, own = name.removeprefix("vit.layers.").split(".", 1)
                place = theirs.blocks[int(layer)].get_parameter(f"attn.{own}" if own.startswith("LoRA") else own)
                place.view(place.shape[-value.dim() :])[tuple(slice(size) for size in value.shape)] = value
            structure = dict(visual_prompt_dim=prompts, lora_dim=ranks, adapter_dim=widths, prefix_dim=[0, 0])
            count = theirs.get_sampled_params_numel(structure) - prompts[0] * config.hidden_size
            if count != sum(value.numel() for value in tensors.values()):
                raise SystemExit(f"noah: they count {count} values")
            pictures = torch.randn(3, 3, *config.image_size)
            worst = max(worst, apart(theirs(pictures), hub(pictures).logits))
    return worst


def copy_vit(theirs: nn.Module, hub: nn.Module) -> None:
    """The weights of a classifier of transformers, in a model with timm's names."""
    own = dict(hub.state_dict())
    take = lambda name: [own[f"{name}.{part}"] for part in ("weight", "bias")]  # noqa: E731
    pairs = [(theirs.patch_embed.proj, take("vit.embeddings.patch_embeddings.projection")), (theirs.norm, take("vit.layernorm")), (theirs.head, take("classifier"))]
    for i, block in enumerate(theirs.blocks):
        at = f"vit.layers.{i}"
        joined = zip(*(take(f"{at}.attention.{name}_proj") for name in ("q", "k", "v")), strict=True)
        pairs.append((block.attn.qkv, [torch.cat(each) for each in joined]))
        names = {"attn.proj": "attention.o_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2", "norm1": "layernorm_before", "norm2": "layernorm_after"}
        pairs += [(block.get_submodule(name), take(f"{at}.{there}")) for name, there in names.items()]
    for layer, (weight, bias) in pairs:
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    theirs.cls_token.copy_(own["vit.embeddings.cls_token"])
    theirs.pos_embed.copy_(own["vit.embeddings.position_embeddings"])


CHECKS = (attempt, hyperformer, pha, noah)
