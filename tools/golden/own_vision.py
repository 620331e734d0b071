"""Methods of vision, and of an encoder with a decoder, that no library has, written here in PyTorch from the papers and their authors' code:
goldens of them on the tiny models of the families, in data/python/families.

A method is a function that changes a frozen model by hooks and makes its own tensors, by the names that our files have for them. It may give
another one, of what is added to the loss of the last pass.
Adapters are written as we write them, with a type of our own; the head of the task is trained beside them.

Usage: python own_vision.py [NAME ...], where a name is vit-image-vpt; all without one.
"""

import sys
from collections.abc import Callable

import torch
from torch import nn

from coda import coda
from common import LEARNING_RATE, save_tensors, shake, write_json
from families import FAMILIES, draw_inputs, label_inputs, load_model, logits_of, stored_logits
from pha import OPTIONS as PHA
from pha import PhaNetwork

Make = Callable[[str, torch.Tensor], nn.Parameter]


def layers_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The blocks of a tower, with their paths."""
    path = "vit.layers" if hasattr(model, "vit") else "dinov2.encoder.layer"
    return [(f"{path}.{i}", layer) for i, layer in enumerate(model.get_submodule(path))]


def vpt(model: nn.Module, make: Make, num_tokens: int, deep: bool, prompt_dropout: float) -> None:
    """Jia et al., 2022. https://arxiv.org/abs/2203.12119, https://github.com/KMnP/vpt: the prompt stands after the class's row."""
    width = model.config.hidden_size
    first = make("prompt_embeddings", torch.rand(num_tokens, width) - 0.5)
    layers = layers_of(model)
    later = make("deep_prompt_embeddings", torch.rand(len(layers) - 1, num_tokens, width) - 0.5) if deep else None

    def with_prompt(x: torch.Tensor, prompt: torch.Tensor, instead: int) -> torch.Tensor:
        return torch.cat([x[:, :1], prompt.expand(len(x), -1, -1), x[:, 1 + instead :]], dim=1)

    model.vit.embeddings.register_forward_hook(lambda module, args, out: with_prompt(out, first, 0))
    for i, (_, layer) in enumerate(layers[1:] if deep else []):
        layer.register_forward_pre_hook(lambda module, args, i=i: (with_prompt(args[0], later[i], num_tokens), *args[1:]))


def adaptformer(model: nn.Module, make: Make, ffn_num: int, ffn_adapter_scalar: float | str, dropout: float) -> None:
    """Chen et al., 2022. https://arxiv.org/abs/2205.13535, https://github.com/ShoufaChen/AdaptFormer"""
    width = model.config.hidden_size
    for path, layer in layers_of(model):
        own = f"{path}.mlp.adaptmlp"
        down = make(f"{own}.down_proj.weight", torch.randn(ffn_num, width) * 0.2)
        down_bias = make(f"{own}.down_proj.bias", torch.zeros(ffn_num))
        up = make(f"{own}.up_proj.weight", torch.zeros(width, ffn_num))
        up_bias = make(f"{own}.up_proj.bias", torch.zeros(width))
        scale = make(f"{own}.scale", torch.ones(1)) if ffn_adapter_scalar == "learned" else ffn_adapter_scalar
        stream = {}

        def note(module, args, stream=stream):
            stream["x"] = args[0]

        def beside(module, args, out, stream=stream, down=down, down_bias=down_bias, up=up, up_bias=up_bias, scale=scale):
            return out + ((stream["x"] @ down.T + down_bias).relu() @ up.T + up_bias) * scale

        layer.layernorm_after.register_forward_pre_hook(note)
        layer.mlp.register_forward_hook(beside)


def convpass(model: nn.Module, make: Make, dim: int, scale: float, dropout: float, conv_init: str, sublayers: list[str]) -> None:
    """Jie & Deng, 2022. https://arxiv.org/abs/2207.07039, https://github.com/JieShibo/PETL-ViT"""
    width, config = model.config.hidden_size, model.config
    lines, columns = (size // patch for size, patch in zip(config.image_size, config.patch_size, strict=True))

    def gelu(x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)

    def bypass(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
        conv = nn.Conv2d(dim, dim, 3, padding=1)
        conv.weight = make(f"{path}.adapter_conv.weight", torch.randn(dim, dim, 3, 3) * 0.3)
        conv.bias = make(f"{path}.adapter_conv.bias", torch.zeros(dim))
        down, up = nn.Linear(width, dim), nn.Linear(dim, width)
        for name, layer, first in (("adapter_down", down, torch.randn(dim, width) * 0.2), ("adapter_up", up, torch.zeros(width, dim))):
            layer.weight = make(f"{path}.{name}.weight", first)
            layer.bias = make(f"{path}.{name}.bias", torch.zeros(len(first)))

        def run(x: torch.Tensor) -> torch.Tensor:
            low = gelu(down(x)).transpose(1, 2)
            patches = conv(low[..., 1:].unflatten(-1, (lines, columns))).flatten(-2)
            own = conv(low[..., :1, None]).flatten(-2)
            return up(gelu(torch.cat([own, patches], dim=-1).transpose(1, 2))) * scale

        return run

    for path, layer in layers_of(model):
        beside = bypass(f"{path}.attention")
        layer.attention.register_forward_hook(lambda module, args, out, beside=beside: (out[0] + beside(args[0]), *out[1:]))
        below = bypass(f"{path}.mlp")
        layer.mlp.register_forward_hook(lambda module, args, out, below=below: out + below(args[0]))


def fact_layers(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    names = ["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2"]
    return [(f"{path}.{name}", layer.get_submodule(name)) for path, layer in layers_of(model) for name in names]


def shared_factors(model: nn.Module, make: Make, r: int) -> tuple[nn.Parameter, nn.Parameter]:
    width = model.config.hidden_size
    return make("FacTu", torch.randn(r, width) * 0.3), make("FacTv", torch.zeros(width, r))


def update_by(layer: nn.Linear, u: torch.Tensor, v: torch.Tensor, middle: Callable[[torch.Tensor], torch.Tensor], scale: float) -> None:
    """Adds what goes through the shared factors: `middle` maps [.., r times the squares beside each other] to [.., r times those above each other]."""
    width = v.shape[0]

    def changed(module, args, out):
        low = (args[0].unflatten(-1, (-1, width)) @ u.T).flatten(-2)
        return out + (middle(low).unflatten(-1, (-1, v.shape[1])) @ v.T).flatten(-2) * scale

    layer.register_forward_hook(changed)


def fact_tt(model: nn.Module, make: Make, r: int, scale: float, dropout: float, target_modules: list[str]) -> None:
    """Jie & Deng, 2022. https://arxiv.org/abs/2212.03145, https://github.com/JieShibo/PETL-ViT, fact_tt.py"""
    u, v = shared_factors(model, make, r)
    for path, layer in fact_layers(model):
        rows, columns = (size // v.shape[0] * r for size in layer.weight.shape)
        core = make(f"{path}.FacTs", torch.randn(rows, columns) * 0.3)
        update_by(layer, u, v, lambda low, core=core: low @ core.T, scale)


def fact_tk(model: nn.Module, make: Make, r: int, scale: float, dropout: float, target_modules: list[str]) -> None:
    """The same paper, fact_tk.py"""
    u, v = shared_factors(model, make, r)
    width = v.shape[0]
    layers = fact_layers(model)
    counts = [max(layer.weight.shape) // width for _, layer in layers]
    core, places = make("FacTc", torch.randn(r, r, r) * 0.5), make("FacTp", torch.randn(r, sum(counts)) * 0.5)
    for i, (_, layer) in enumerate(layers):
        first = sum(counts[:i])

        def middle(low, first=first, count=counts[i], wide=layer.in_features > width):
            own = (core @ places[:, first : first + count]).reshape(r, count * r)
            return low @ own.T if wide else low @ own

        update_by(layer, u, v, middle, scale)


def ssf(model: nn.Module, make: Make, norms: bool, embedding: bool, init_std: float, target_modules: str) -> None:
    """Lian et al., 2022. https://arxiv.org/abs/2210.08823, https://github.com/dongzelian/SSF"""
    for path, module in model.named_modules():
        if path == "classifier" or not isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv2d)):
            continue
        scale = make(f"{path}.ssf_scale", torch.ones(len(module.weight)))
        shift = make(f"{path}.ssf_shift", torch.zeros(len(module.weight)))
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, args, out, a=scale, b=shift: out * a[:, None, None] + b[:, None, None])
        else:
            module.register_forward_hook(lambda m, args, out, a=scale, b=shift: out * a + b)


def normal_levels(bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The medians of the parts of a normal distribution whose bounds are midway between them."""
    normal = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    levels = torch.zeros(2**bits, dtype=torch.float64)
    for _ in range(500):
        shares = torch.cat([torch.zeros(1), normal.cdf((levels[1:] + levels[:-1]) / 2), torch.ones(1)])
        levels = normal.icdf((shares[1:] + shares[:-1]) / 2)
    return levels.float(), ((levels[1:] + levels[:-1]) / 2).float()


def binary_adapter(model: nn.Module, make: Make, dim: int, bits: int, scale: float, dropout: float, packed: bool) -> None:
    """Jie, Wang & Deng, 2023. https://arxiv.org/abs/2307.16867, https://github.com/JieShibo/PETL-ViT, binary_adapter"""
    levels, bounds = normal_levels(bits)

    def quantized(weight: torch.Tensor) -> torch.Tensor:
        mean, deviation = weight.mean(), weight.std()
        standard = (weight - mean) / (deviation + 1e-5)
        nearest = levels[torch.bucketize(standard.detach(), bounds)]
        return (nearest - standard.detach() + standard) * deviation + mean

    width = model.config.hidden_size
    for path, layer in layers_of(model):
        own = f"{path}.mlp.adapter_mlp"
        down = make(f"{own}.adapter_down.weight", torch.randn(dim, width) * 0.2)
        up = make(f"{own}.adapter_up.weight", torch.randn(width, dim) * 0.2)
        stream = {}

        def note(module, args, stream=stream):
            stream["x"] = args[0]

        def beside(module, args, out, stream=stream, down=down, up=up):
            return out + (stream["x"] @ quantized(down).T).relu() @ quantized(up).T * scale

        layer.layernorm_after.register_forward_pre_hook(note)
        layer.mlp.register_forward_hook(beside)


def vqt(model: nn.Module, make: Make, num_query_tokens: int, prompt_dropout: float, normalize_feats: bool) -> None:
    """Tu, Mai & Chao, 2022. https://arxiv.org/abs/2212.03220, https://github.com/andytu28/VQT: the head's layer reads the class's row and all answers joined, each part normalised."""
    width, count = model.config.hidden_size, num_query_tokens
    layers = layers_of(model)
    queries = make("query_prompt_embeddings", torch.rand(len(layers), count, width) - 0.5)
    more = make("classifier.query_weight", torch.randn(model.classifier.out_features, len(layers) * count * width) * 0.2)
    answers = {}

    def answer(i: int, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """What the block makes of the layer's queries: attention by its own parts, over the picture's keys and values alone."""
        attention, q = layer.attention, queries[i].expand(len(x), -1, -1)
        split = lambda t: t.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)  # noqa: E731
        rows = layer.layernorm_before(x)
        scores = split(attention.q_proj(layer.layernorm_before(q))) @ split(attention.k_proj(rows)).transpose(2, 3)
        heads = (scores * attention.scaling).softmax(-1) @ split(attention.v_proj(rows))
        h = q + attention.o_proj(heads.transpose(1, 2).flatten(2))
        return (h + layer.mlp(layer.layernorm_after(h))).flatten(1)

    for i, (_, layer) in enumerate(layers):
        layer.register_forward_pre_hook(lambda module, args, i=i: answers.__setitem__(i, answer(i, module, args[0])))

    def logits(module: nn.Module, args: tuple, out: torch.Tensor) -> torch.Tensor:
        norm = nn.functional.normalize if normalize_feats else (lambda t: t)
        features = torch.cat([norm(args[0])] + [norm(answers[i]) for i in range(len(layers))], dim=1)
        return features @ torch.cat([module.weight, more], dim=1).T + module.bias

    model.classifier.register_forward_hook(logits)


def noah(model: nn.Module, make: Make, prompt_dims: list[int], lora_dims: list[int], adapter_dims: list[int], dropout: float) -> None:
    """Zhang et al., 2022. https://arxiv.org/abs/2206.04673, https://github.com/ZhangYuanhan-AI/NOAH: prompts stand behind the patches."""
    width, rows = model.config.hidden_size, {}

    def with_prompt(x: torch.Tensor, prompt: torch.Tensor | None) -> torch.Tensor:
        if prompt is None:
            return x
        return torch.cat([x[:, : rows["picture"]], prompt.expand(len(x), -1, -1)], dim=1)

    model.vit.embeddings.register_forward_hook(lambda module, args, out: rows.update(picture=out.shape[1]))
    for (path, layer), m, r, w in zip(layers_of(model), prompt_dims, lora_dims, adapter_dims, strict=True):
        if m > 0:
            prompt = make(f"{path}.visual_prompt_token", torch.rand(1, m, width)[0] - 0.5)
            layer.register_forward_pre_hook(lambda module, args, prompt=prompt: (with_prompt(args[0], prompt), *args[1:]))
        if r > 0:
            down, up = make(f"{path}.LoRA_a.weight", torch.randn(r, width) * 0.3), make(f"{path}.LoRA_b.weight", torch.zeros(3 * width, r))
            for i, name in enumerate(["q_proj", "k_proj", "v_proj"]):

                def updated(module, args, out, i=i, down=down, up=up):
                    return out + ((args[0] @ down.T) @ up.T).chunk(3, dim=-1)[i]

                layer.attention.get_submodule(name).register_forward_hook(updated)
        if w > 0:
            first = make(f"{path}.adapter.ln1.weight", torch.randn(w, width) * 0.3), make(f"{path}.adapter.ln1.bias", torch.zeros(w))
            second = make(f"{path}.adapter.ln2.weight", torch.randn(width, w) * 0.3), make(f"{path}.adapter.ln2.bias", torch.zeros(width))

            def after(module, args, out, first=first, second=second):
                low = out @ first[0].T + first[1]
                return out + (low * torch.sigmoid(1.702 * low)) @ second[0].T + second[1]

            layer.mlp.register_forward_hook(after)


def clip_adapter(model: nn.Module, make: Make, reduction: float, ratio: float, target_modules: list[str]) -> None:
    """Gao et al., 2021. https://arxiv.org/abs/2110.04544, https://github.com/gaopengcuhk/CLIP-Adapter"""
    for path in target_modules:
        layer = model.get_submodule(path)
        width = int(layer.out_features / reduction)
        down = make(f"{path}.fc.0.weight", torch.randn(width, layer.out_features) * 0.3)
        up = make(f"{path}.fc.2.weight", torch.randn(layer.out_features, width) * 0.3)

        def mixed(module, args, out, down=down, up=up):
            return ratio * ((out @ down.T).relu() @ up.T).relu() + (1 - ratio) * out

        layer.register_forward_hook(mixed)


def pha(model: nn.Module, make: Make, **options: float) -> Callable[[], torch.Tensor]:
    """Zhao, Fu & He, 2023. https://arxiv.org/abs/2310.11670, https://github.com/Bumble666/PHA"""
    d, r, last = model.config.d_model, options["adapter_dim"], {}
    network = PhaNetwork(make, d, model.config.num_decoder_layers, d, **options)
    for i, block in enumerate(model.encoder.block):
        own = f"encoder.block.{i}.layer.1.DenseReluDense.adapter"
        down = make(f"{own}_down.weight", torch.randn(r, d) * 0.2), make(f"{own}_down.bias", torch.zeros(r))
        up = make(f"{own}_up.weight", torch.randn(d, r) * 0.2), make(f"{own}_up.bias", torch.zeros(d))

        def beside(module, args, out, down=down, up=up):
            return out + (args[0] @ down[0].T + down[1]).relu() @ up[0].T + up[1]

        block.layer[-1].DenseReluDense.register_forward_hook(beside)
    for i, block in enumerate(model.decoder.block):
        block.layer[-1].DenseReluDense.register_forward_hook(lambda m, x, y, i=i: y + network.adapter(x[0], i))

    def read(module: nn.Module, args: tuple, given: dict, out: object) -> None:
        mask = given["attention_mask"][..., None]
        last["mean"] = (out.last_hidden_state * mask).sum(1) / mask.sum(1)

    model.encoder.register_forward_hook(read, with_kwargs=True)
    return lambda: network.loss(last["mean"])


def co_op(model: nn.Module, make: Make, n_ctx: int, n_cls: int, ctx_init: list[int], ctx_start: int, class_token_position: str) -> None:
    """Zhou et al., 2021. https://arxiv.org/abs/2109.01134, https://github.com/KaiyangZhou/CoOp, trainers/coop.py: the context stands between the start of a text and the name."""
    width = model.config.text_config.hidden_size
    context = make("ctx", torch.randn(*([n_cls] if n_cls else []), n_ctx, width) * 0.02)

    def replaced(module, args, out):
        prefix, suffix = out[:, :ctx_start], out[:, ctx_start + n_ctx :]
        return torch.cat([prefix, context.expand(len(out), -1, -1), suffix], dim=1)

    model.text_model.embeddings.token_embedding.register_forward_hook(replaced)


def co_co_op(model: nn.Module, make: Make, n_ctx: int, ctx_init: list[int], ctx_start: int, meta_reduction: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Zhou et al., 2022. https://arxiv.org/abs/2203.05557, https://github.com/KaiyangZhou/CoOp, trainers/cocoop.py: the logits of pixels, one picture after the other."""
    width, vectors = model.config.text_config.hidden_size, model.config.projection_dim
    context, now = make("ctx", torch.randn(n_ctx, width) * 0.02), {}

    def layer(name: str, outputs: int, inputs: int) -> Callable[[torch.Tensor], torch.Tensor]:
        first = nn.Linear(inputs, outputs)
        weight, bias = make(f"meta_net.{name}.weight", first.weight.detach()), make(f"meta_net.{name}.bias", first.bias.detach())
        return lambda x: nn.functional.linear(x, weight, bias)

    first, second = layer("linear1", vectors // meta_reduction, vectors), layer("linear2", width, vectors // meta_reduction)

    def replaced(module, args, out):
        return torch.cat([out[:, :ctx_start], now["context"].expand(len(out), -1, -1), out[:, ctx_start + n_ctx :]], dim=1)

    model.text_model.embeddings.token_embedding.register_forward_hook(replaced)

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        rows = []
        for picture in pixels:
            seen = model.visual_projection(model.vision_model(pixel_values=picture[None]).pooler_output)[0]
            seen = seen / seen.norm()
            now["context"] = context + second(first(seen).relu())
            texts = model.text_projection(model.text_model(input_ids=TEXTS).pooler_output)
            rows.append(model.logit_scale.exp() * (texts / texts.norm(dim=1, keepdim=True)) @ seen)
        return torch.stack(rows)

    return logits


def maple(model: nn.Module, make: Make, n_ctx: int, prompt_depth: int, ctx_init: list[int], ctx_start: int) -> None:
    """Khattak et al., 2022. https://arxiv.org/abs/2210.03117, https://github.com/muzairkhattak/multimodal-prompt-learning, trainers/maple.py and clip/model.py."""
    text, picture = model.config.text_config.hidden_size, model.config.vision_config.hidden_size

    def coupled(prompt: nn.Parameter, name: str) -> Callable[[], torch.Tensor]:
        first = nn.Linear(text, picture)
        weight, bias = make(f"{name}.weight", first.weight.detach()), make(f"{name}.bias", first.bias.detach())
        return lambda: nn.functional.linear(prompt, weight, bias)

    context = make("ctx", torch.randn(n_ctx, text) * 0.02)
    beside = coupled(context, "proj")

    def words(module, args, out):
        return torch.cat([out[:, :ctx_start], context.expand(len(out), -1, -1), out[:, ctx_start + n_ctx :]], dim=1)

    def patches(module, args, out):
        return torch.cat([out, beside().expand(len(out), -1, -1)], dim=1)

    model.text_model.embeddings.token_embedding.register_forward_hook(words)
    model.vision_model.embeddings.register_forward_hook(patches)

    def deeper(layers: nn.ModuleList, i: int, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        def before(module, args, kwargs):
            return (change(args[0]), *args[1:]), kwargs

        layers[i].register_forward_pre_hook(before, with_kwargs=True)

    for i in range(prompt_depth - 1):
        prompt = make(f"compound_prompts_text.{i}", torch.randn(n_ctx, text) * 0.02)
        row = coupled(prompt, f"compound_prompt_projections.{i}")
        deeper(
            model.text_model.encoder.layers, i + 1,
            lambda x, prompt=prompt: torch.cat([x[:, :ctx_start], prompt.expand(len(x), -1, -1), x[:, ctx_start + n_ctx :]], dim=1),
        )
        deeper(model.vision_model.encoder.layers, i + 1, lambda x, row=row: torch.cat([x[:, :-n_ctx], row().expand(len(x), -1, -1)], dim=1))


def pro_grad(loss: torch.Tensor, general: torch.Tensor, parameters: list[nn.Parameter]) -> None:
    """Zhu et al., 2022. https://github.com/BeierZhu/Prompt-align, Dassl.ProGrad.pytorch/dassl/engine/trainer.py: gradients of the loss, without what goes against the other."""
    against = torch.autograd.grad(general, parameters, retain_graph=True)
    for parameter, own, other in zip(parameters, torch.autograd.grad(loss, parameters), against, strict=True):
        direction = other / other.norm()
        along = (own * direction).sum()
        if along >= 0:
            raise SystemExit("the gradients do not conflict: choose other labels")
        parameter.grad = own - LAMBDA * along * direction


def tip_adapter(model: nn.Module, make: Make, alpha: float, beta: float, cache: dict) -> Callable[[torch.Tensor], torch.Tensor]:
    """Zhang et al., 2021. https://arxiv.org/abs/2111.03930, https://github.com/gaopengcuhk/Tip-Adapter, main.py: what is added to the logits of vectors of pictures."""
    keys = make("cache_keys", nn.functional.normalize(torch.randn(cache["pictures"], cache["width"]), dim=1))
    values = nn.functional.one_hot(CACHED["cache_values"].long(), cache["classes"]).float()

    def cache_logits(features: torch.Tensor) -> torch.Tensor:
        affinity = features @ keys.T
        return ((-1) * (beta - beta * affinity)).exp() @ values * alpha

    return cache_logits


SQUARES = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]

# By the model's name and the method's: its type, its function, and what its file says.
METHODS: dict[tuple[str, str], tuple[str, Callable[..., Callable[[], torch.Tensor] | None], dict]] = {
    ("vit-image", "vpt"): ("PEFTJS_VPT", vpt, dict(num_tokens=3, deep=False, prompt_dropout=0.0)),
    ("vit-image", "vpt-deep"): ("PEFTJS_VPT", vpt, dict(num_tokens=2, deep=True, prompt_dropout=0.0)),
    ("vit-image", "adaptformer"): ("PEFTJS_ADAPTFORMER", adaptformer, dict(ffn_num=3, ffn_adapter_scalar=0.7, dropout=0.0)),
    ("vit-image", "convpass"): (
        "PEFTJS_CONVPASS", convpass, dict(dim=3, scale=0.5, dropout=0.0, conv_init="identity", sublayers=["attn", "mlp"]),
    ),
    ("vit-image", "ssf"): ("PEFTJS_SSF", ssf, dict(norms=True, embedding=True, init_std=0.02, target_modules="all-linear")),
    ("vit-image", "binary-adapter"): (
        "PEFTJS_BINARY_ADAPTER", binary_adapter, dict(dim=3, bits=2, scale=0.5, dropout=0.0, packed=False),
    ),
    ("vit-image", "vqt"): ("PEFTJS_VQT", vqt, dict(num_query_tokens=2, prompt_dropout=0.0, normalize_feats=True)),
    ("vit-image", "noah"): ("PEFTJS_NOAH", noah, dict(prompt_dims=[3, 2], lora_dims=[2, 0], adapter_dims=[0, 3], dropout=0.0)),
    ("vit-image", "noah-kept"): ("PEFTJS_NOAH", noah, dict(prompt_dims=[2, 0], lora_dims=[1, 2], adapter_dims=[3, 1], dropout=0.0)),
    ("clip-pairs", "clip-adapter"): (
        "PEFTJS_CLIP_ADAPTER", clip_adapter, dict(reduction=2.5, ratio=0.4, target_modules=["visual_projection"]),
    ),
    ("dinov2-image", "fact-tt"): ("PEFTJS_FACT_TT", fact_tt, dict(r=3, scale=0.5, dropout=0.0, target_modules=SQUARES)),
    ("dinov2-image", "fact-tk"): ("PEFTJS_FACT_TK", fact_tk, dict(r=3, scale=0.5, dropout=0.0, target_modules=SQUARES)),
    ("t5", "pha"): ("PEFTJS_PHA", pha, PHA),
} | {
    (name, "coda"): ("PEFTJS_CODA", coda, dict(routing_ratio=ratio, routing_keys=keys, routing_epsilon=epsilon, bottleneck=4))
    for name, ratio, keys, epsilon in (("bert-sequence", 1.5, "chosen", 1.0), ("t5", 2.5, "all", 0.5))
}


# Texts of three classes: the start, four tokens in place of a context, a name, the end, which fills up the shorter ones.
TEXTS = torch.tensor([[0, 20, 20, 20, 20, 31, 9, 9], [0, 20, 20, 20, 20, 40, 41, 9], [0, 20, 20, 20, 20, 52, 9, 9]])
# The classes of the pictures in a cache, saved beside its vectors.
CACHED = {"cache_values": torch.tensor([2, 0, 1, 2, 0], dtype=torch.int32)}

# Of ProGrad: what is taken out of a conflict, and what logits are divided by.
LAMBDA, TEMPERATURE = 0.8, 2.0

# Methods on a model of pairs that tells pictures apart by those texts: as above, and what is saved beside what is trained.
ZERO_SHOT: dict[tuple[str, str], tuple[str, Callable[..., None | Callable], dict, dict[str, torch.Tensor]]] = {
    ("clip-pairs", f"co-op{name}"): (
        "PEFTJS_COOP", co_op, dict(n_ctx=4, n_cls=classes, ctx_init=[], ctx_start=1, class_token_position="end"), {},
    )
    for name, classes in (("", 0), ("-classes", 3))
} | {
    ("clip-pairs", "pro-grad"): (
        "PEFTJS_COOP", co_op, dict(n_ctx=4, n_cls=0, ctx_init=[20] * 4, ctx_start=1, class_token_position="end"), {},
    ),
    ("clip-pairs", "co-co-op"): ("PEFTJS_COCOOP", co_co_op, dict(n_ctx=4, ctx_init=[], ctx_start=1, meta_reduction=3), {}),
    ("clip-pairs", "maple"): ("PEFTJS_MAPLE", maple, dict(n_ctx=4, prompt_depth=2, ctx_init=[], ctx_start=1), {}),
    ("clip-pairs", "tip-adapter"): (
        "PEFTJS_TIP_ADAPTER", tip_adapter, dict(alpha=1.5, beta=2.5, cache=dict(pictures=5, width=10, classes=3)), CACHED,
    ),
}


def make_zero_shot(name: str, method: str) -> None:
    """Its folder has inputs of its own: pictures and their classes."""
    peft_type, change, options, buffers = ZERO_SHOT[name, method]
    torch.manual_seed(1)
    model = load_model(name).requires_grad_(False)
    params = {}

    def make(tensor_name: str, first: torch.Tensor) -> nn.Parameter:
        params[f"base_model.model.{tensor_name}"] = nn.Parameter(first)
        shake(params[f"base_model.model.{tensor_name}"], 0.2)
        return params[f"base_model.model.{tensor_name}"]

    pixels, labels = draw_inputs(name)["pixel_values"], torch.tensor([2, 0, 1])
    teacher = model(input_ids=TEXTS, pixel_values=pixels).logits_per_image
    if method == "pro-grad":  # classes that the teacher does not have
        labels = torch.tensor([2, 0, 2])
    added = change(model, make, **options)
    out = FAMILIES / name / method
    save_tensors(out / "adapter" / "adapter_model.safetensors", params | {f"base_model.model.{n}": t for n, t in buffers.items()})
    write_json(out / "adapter" / "adapter_config.json", {"peft_type": peft_type, "task_type": None, "modules_to_save": []} | options, indent=2)

    def logits() -> torch.Tensor:
        if method == "co-co-op":  # texts of each picture
            return added(pixels)
        seen = model(input_ids=TEXTS, pixel_values=pixels)
        return seen.logits_per_image + (added(seen.image_embeds) if added else 0)

    golden = {"pixel_values": pixels, "labels": labels.int(), "logits": logits()}
    losses = []
    optimizer = torch.optim.AdamW(params.values(), lr=LEARNING_RATE, weight_decay=0.0)
    for step in range(3):
        optimizer.zero_grad()
        student = logits()
        loss = nn.functional.cross_entropy(student, labels)
        if method == "pro-grad":
            soft = -(teacher / TEMPERATURE).softmax(-1) * (student / TEMPERATURE).log_softmax(-1) * TEMPERATURE**2
            pro_grad(loss, soft.sum(1).mean(), list(params.values()))
        else:
            loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss.detach())
    golden |= {f"trained {n}": p for n, p in params.items()}
    save_tensors(out / "golden.safetensors", golden | {"losses": torch.stack(losses)})


def make_golden(name: str, method: str) -> None:
    peft_type, change, options = METHODS[name, method]
    torch.manual_seed(1)
    model = load_model(name).requires_grad_(False)
    params = {}

    def make(tensor_name: str, first: torch.Tensor) -> nn.Parameter:
        params[f"base_model.model.{tensor_name}"] = nn.Parameter(first)
        shake(params[f"base_model.model.{tensor_name}"], 0.2)
        return params[f"base_model.model.{tensor_name}"]

    added = change(model, make, **options) or (lambda: 0.0)
    heads = ["classifier"] if hasattr(model, "classifier") else []
    for head in heads:
        for tensor_name, parameter in model.get_submodule(head).named_parameters():
            params[f"base_model.model.{head}.{tensor_name}"] = parameter.requires_grad_()
            shake(parameter, 0.2)
    out = FAMILIES / name / method
    save_tensors(out / "adapter" / "adapter_model.safetensors", params)
    config = {"peft_type": peft_type, "task_type": None, "modules_to_save": heads} | options
    write_json(out / "adapter" / "adapter_config.json", config, indent=2)

    inputs = draw_inputs(name)
    golden = {"logits": stored_logits(name, logits_of(model(**inputs)), inputs)}
    losses = []
    optimizer = torch.optim.AdamW(params.values(), lr=LEARNING_RATE, weight_decay=0.0)
    for step in range(3):
        optimizer.zero_grad()
        loss = model(**inputs, **label_inputs(name, inputs)).loss + added()
        loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": p.grad.clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss.detach())
    golden |= {f"trained {n}": p for n, p in params.items()}
    save_tensors(out / "golden.safetensors", golden | {"losses": torch.stack(losses)})


def main(names: list[str]) -> None:
    for name, method in METHODS:
        if not names or f"{name}-{method}" in names:
            make_golden(name, method)
    for name, method in ZERO_SHOT:
        if not names or f"{name}-{method}" in names:
            make_zero_shot(name, method)


if __name__ == "__main__":
    main(sys.argv[1:])
