"""Goldens of the methods of Hugging Face PEFT.

Usage: python peft_methods.py [NAME...], as plain-dora
"""

import json
import re
import sys
from pathlib import Path

import peft.tuners.boft.layer as boft
import peft.tuners.c3a.layer as c3a
import peft.tuners.poly.layer as poly
import peft.tuners.lora.layer as lora_layer
import torch
from peft import (
    AdaLoraConfig, AdaptionPromptConfig, BeftConfig, BOFTConfig, C3AConfig, CartridgeConfig, CPTConfig, DeftConfig, DeloraConfig, FourierFTConfig, FrodConfig, GloraConfig, GraloraConfig, HiraConfig, HRAConfig, IA3Config, LilyConfig, LNTuningConfig, LoHaConfig, LoKrConfig, LoraConfig, MissConfig, MultitaskPromptTuningConfig, PeftModel,
    OFTConfig, OSFConfig, PeanutConfig, PolyConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, PveraConfig, RandLoraConfig, RoadConfig, ShadowConfig, ShiraConfig, SupertuningConfig, TinyLoraConfig, TrainableTokensConfig, UniLoraConfig, VBLoRAConfig, VeraConfig, WaveFTConfig, get_peft_model, get_peft_model_state_dict,
)
from peft.tuners.c3a.utils import get_circulant_fast
from peft.tuners.lora.config import BdLoraConfig, KasaConfig, MontecloraConfig, VeloraConfig
from peft.tuners.lora.variants import QALoraLinearVariant
from peft.tuners.multitask_prompt_tuning import MultitaskPromptEmbedding
from safetensors.torch import load_file

from common import OUT, draw_batch, record, save_tensors, shake
from models import VOCABULARY, load_model, use_linears

class CircularConvolution:
    """PEFT 0.21.2 has a wrong gradient of C3A's input; autograd's, of the same product, takes its place."""

    @staticmethod
    def apply(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return x @ get_circulant_fast(kernel).T


c3a.BlockCircularConvolution = CircularConvolution

class BlockDiagonal:
    """PEFT has more than one factor of BOFT with a kernel for CUDA alone; torch computes the same."""

    @staticmethod
    def apply(blocks: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.block_diag(*factor) for factor in blocks])


boft.get_fbd_cuda = lambda: True
boft.FastBlockDiag = BlockDiagonal

# PEFT has QA-LoRA over GPTQ's layers alone; its variant is the same over plain ones.
resolve_variant = lora_layer.Linear.resolve_lora_variant
lora_layer.Linear.resolve_lora_variant = lambda self, *, config, **kwargs: (
    QALoraLinearVariant() if config.use_qalora else resolve_variant(self, config=config, **kwargs)
)

LINEAR_ONLY = ("LOHA", "LOKR", "BEFT", "HRA", "DELORA", "MISS", "OFT", "ROAD", "C3A", "SHIRA", "PEANUT", "GLORA", "BOFT", "SUPERTUNING", "OSF", "POLY", "LILY")
LINEARS = {
    "plain": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
}
# Of different shapes, and in GPT-2 with biases.
SOME = {"plain": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}

# What every method may have beside its own options, with LoRA.
HEADS = {"plain": ["q_proj", "lm_head"], "gpt2": ["c_attn", "lm_head"]}
TABLES = {"plain": "embed_tokens", "gpt2": "wte"}
WHOLE = {"plain": ["lm_head", "norm"], "gpt2": ["lm_head", "h.0.mlp.c_fc", "ln_f"]}  # the head of gpt2 is tied
EXCLUDED = {"plain": ["down_proj"], "gpt2": ["mlp.c_proj"]}
STACKS = {"plain": "layers", "gpt2": "h"}

# In the first row of the batch at two places, the first of them in the prompt that is continued; not in the second row.
INVOCATION = draw_batch(VOCABULARY)[0][0, 29:31].tolist()

# Two allocations within three steps: of half of the way at step 1, and the last at step 2.
SCHEDULE = dict(tinit=0, tfinal=1, deltaT=1, total_step=3)

# These train the biases of keys, which shift all scores of a token alike, or what a norm takes out again.
EPSILONS = {
    ("gpt2", "beft"): 1e-4, ("gpt2", "lora-bias-all"): 1e-4, ("gpt2", "lora-bias-out"): 1e-4, ("gpt2", "glora"): 1e-4, ("gpt2", "glora-vectors"): 1e-4,
    ("gpt2", "glora-none"): 1e-4, ("gpt2", "boft"): 1e-4,
}

# The first seed that leaves no close decision among tokens or triplets.
SEEDS = {("plain", "lokr-factor"): 2, ("plain", "gralora"): 3, ("plain", "road-4"): 3, ("plain", "adalora"): 5, ("plain", "deft-para"): 2, ("plain", "deft-qr"): 2, ("gpt2", "deft"): 2}


def by_layer(some: dict) -> dict[str, object]:
    """Methods that change layers, of those that `some` targets."""
    return {
        "dora": LoraConfig(r=4, lora_alpha=6, use_dora=True, **some),
        "vera": VeraConfig(r=4, **some),
        "vera-drawn": VeraConfig(r=4, save_projection=False, projection_prng_key=7, **some),
        "loha": LoHaConfig(r=4, alpha=6, **some),
        "lokr": LoKrConfig(r=2, alpha=5, **some),
        "lokr-both": LoKrConfig(r=1, alpha=3, decompose_both=True, **some),
        "lokr-factor": LoKrConfig(r=3, alpha=6, decompose_factor=8, **some),
        "hira": HiraConfig(r=3, **some),
        "hra": HRAConfig(r=4, **some),
        "hra-orthogonal": HRAConfig(r=3, apply_GS=True, **some),
        "delora": DeloraConfig(r=3, delora_lambda=4, **some),
        "miss": MissConfig(r=5, **some),
        "miss-mini": MissConfig(r=6, mini_r=4, init_weights="mini", **some),
        "miss-bat": MissConfig(r=4, init_weights="bat", **some),
        "gralora": GraloraConfig(r=4, alpha=6, gralora_k=2, **some),
        "gralora-hybrid": GraloraConfig(r=4, alpha=6, gralora_k=4, hybrid_r=2, **some),
        "oft": OFTConfig(oft_block_size=4, **some),
        "oft-shared": OFTConfig(r=4, oft_block_size=0, block_share=True, num_cayley_neumann_terms=7, **some),
        "road": RoadConfig(group_size=4, **some),
        "road-2": RoadConfig(variant="road_2", group_size=2, **some),
        "road-4": RoadConfig(variant="road_4", group_size=4, **some),
        "c3a": C3AConfig(block_size=4, block_size_pattern={"down_proj": 8, "mlp.c_proj": 2}, **some),
        "shira": ShiraConfig(r=2, random_seed=5, **some),
        "deft": DeftConfig(r=3, alpha=2, **some),
        "deft-qr": DeftConfig(r=4, decomposition_method="qr", **some),
        "deft-para": DeftConfig(r=3, decomposition_method="qr", para=True, **some),
        "peanut": PeanutConfig(r=3, scaling=0.5, **some),
        "peanut-deep": PeanutConfig(r=3, depth=2, act_fn="gelu", **some),
        "glora": GloraConfig(r=3, **some),
        "glora-vectors": GloraConfig(config_A_B="vector", config_C="vector", config_D_E="vector", **some),
        "fourierft": FourierFTConfig(
            n_frequency=9, scaling=30.0, random_loc_seed=11, n_frequency_pattern={"v_proj": 5, "c_attn": 6}, **some
        ),
        "vblora": VBLoRAConfig(r=2, num_vectors=6, vector_length=4, topk=2, init_vector_bank_bound=0.5, **some),
        "randlora": RandLoraConfig(r=5, randlora_alpha=10, **some),
        "randlora-sparse": RandLoraConfig(r=5, randlora_alpha=10, sparse=True, **some),
        "oft-exact": OFTConfig(oft_block_size=4, use_cayley_neumann=False, **some),
        "oft-constrained": OFTConfig(oft_block_size=4, coft=True, eps=0.3, **some),
        "pvera": PveraConfig(r=3, projection_prng_key=7, **some),
        "pvera-drawn": PveraConfig(r=3, save_projection=False, projection_prng_key=7, **some),
        "unilora": UniLoraConfig(r=3, theta_d_length=90, proj_seed=7, init_theta_d_bound=0.5, **some),
        "tinylora": TinyLoraConfig(r=3, u=7, weight_tying=0.4, **some),
        "tinylora-drawn": TinyLoraConfig(r=2, u=3, save_projection=False, projection_seed=7, **some),
        "supertuning": SupertuningConfig(sparsity=0.9, **some),
        "supertuning-supra": SupertuningConfig(sparsity=0.95, select_top=False, r=3, lora_alpha=4, **some),
        "waveft": WaveFTConfig(
            n_frequency=40, scaling=5.0, random_loc_seed=11, n_frequency_pattern={"v_proj": 25, "c_attn": 30}, **some
        ),
        "waveft-long": WaveFTConfig(n_frequency=40, scaling=5.0, wavelet_family="coif1", **some),
        "waveft-plain": WaveFTConfig(n_frequency=40, use_idwt=False, scaling=5.0, **some),
        "osf": OSFConfig(effective_rank=5, **some),
        "frod": FrodConfig(sparse_rate=0.05, projection_prng_key=3, regularization_alpha=0.01, progressbar=False, **some),
        "lily": LilyConfig(r=3, stride_A=2, num_B=3, scaling=0.7, **some),
        "poly": PolyConfig(r=3, n_skills=3, **some),
        "poly-parts": PolyConfig(r=2, n_tasks=3, n_skills=2, n_splits=2, **some),
        "boft": BOFTConfig(boft_block_size=4, bias="boft_only", **some),
        "boft-factors": BOFTConfig(boft_block_size=0, boft_block_num=4, boft_n_butterfly_factor=3, **some),
        "adalora": AdaLoraConfig(init_r=4, target_r=2, lora_alpha=6, **SCHEDULE, **some),
    }


def configs(model: str) -> dict[str, object]:
    # PEFT takes the heads of keys to be as wide as hidden / heads.
    adaption = {"adaption-prompt": AdaptionPromptConfig(adapter_len=4, adapter_layers=1)}
    if model == "square":
        return adaption
    some, linears = dict(target_modules=SOME[model]), dict(target_modules=LINEARS[model])
    cases = by_layer(some) | {
        "token-tuning": TrainableTokensConfig(token_indices=[3, 7, 1]),
        "ia3": IA3Config(),
        "prompt-tuning": PromptTuningConfig(num_virtual_tokens=5),
        "multitask-prompt-tuning": MultitaskPromptTuningConfig(num_virtual_tokens=5, num_ranks=2, num_tasks=3),
        "prefix-tuning": PrefixTuningConfig(num_virtual_tokens=5),
        "prefix-tuning-projection": PrefixTuningConfig(
            num_virtual_tokens=5, prefix_projection=True, encoder_hidden_size=7
        ),
        "p-tuning": PromptEncoderConfig(num_virtual_tokens=5, encoder_hidden_size=7),
        "cpt": CPTConfig(
            task_type="CAUSAL_LM", cpt_token_ids=[4, 7, 2, 9, 1, 22, 5, 3], cpt_tokens_type_mask=[1, 2, 3, 4, 5, 6, 7, 8],
            opt_weighted_loss_type="decay", opt_loss_decay_factor=0.5, opt_projection_epsilon=2.0, opt_projection_format_epsilon=4.0,
        ),
        "cartridge": CartridgeConfig(num_virtual_tokens=5, num_frozen_tokens=2),
        "p-tuning-lstm": PromptEncoderConfig(
            num_virtual_tokens=5, encoder_hidden_size=4, encoder_reparameterization_type="LSTM"
        ),
        "layer-norm-tuning": LNTuningConfig(),
        "beft": BeftConfig(**linears),
    }
    if model == "gpt2":
        cases |= adaption
    lora = dict(r=4, lora_alpha=6)
    cases |= {
        "lora-modules-to-save": LoraConfig(modules_to_save=WHOLE[model], **lora, **some),
        "lora-layers": LoraConfig(
            layers_to_transform=[1], layers_pattern=STACKS[model], exclude_modules=EXCLUDED[model], **lora, **linears
        ),
        "lora-embedding": LoraConfig(target_modules=[*SOME[model], TABLES[model]], **lora),
        "lora-head": LoraConfig(target_modules=HEADS[model], **lora),
        "lora-tokens": LoraConfig(trainable_token_indices=[3, 7, 1], **lora, **some),
    }
    cases |= {
        "lora-bias-out": LoraConfig(lora_bias=True, **lora, **some),
        "alora": LoraConfig(alora_invocation_tokens=INVOCATION, **lora, **some),
        "mica": LoraConfig(init_lora_weights="mica", **lora, **some),
        "pissa": LoraConfig(init_lora_weights="pissa", fan_in_fan_out=model == "gpt2", **lora, **some),
        "velora": LoraConfig(velora_config=VeloraConfig(num_groups=5, scale=0.7), **lora, **some),
    }
    if model == "plain":
        cases |= {
            "velora-random": LoraConfig(velora_config=VeloraConfig(num_groups=4, init_type="random"), **lora, **some),
            "bdlora": LoraConfig(
                use_bdlora=BdLoraConfig(target_modules_bd_a=["down_proj"], target_modules_bd_b=["q_proj", "1.self_attn.v_proj"], nblocks=2, match_strict=False),
                **lora, **some,
            ),
            "olora": LoraConfig(init_lora_weights="olora", use_rslora=True, rank_pattern={"v_proj": 3}, **lora, **some),
            "kasa": LoraConfig(kasa_config=KasaConfig(beta=0.01, gamma=0.05), **lora, **some),
            "monteclora": LoraConfig(monteclora_config=MontecloraConfig(num_samples=3, buffer_size=2), **lora, **some),
            "shadow": ShadowConfig(r=3, shadow_dropout=0.0, shadow_alpha=0.7, auxiliary_loss_weight=0.5),
            "shadow-part": ShadowConfig(r=3, shadow_dropout=0.0, shadow_num_hidden_layers=2, update_hidden_size=5, target_modules=["layers.1"], modules_to_save=["lm_head"]),
            "qalora": LoraConfig(use_qalora=True, qalora_group_size=4, **lora, **some),
        }
    if model == "gpt2":
        cases["glora-none"] = GloraConfig(r=2, config_A_B="none", config_D_E="none", **some)
        cases["lora"] = LoraConfig(r=4, lora_alpha=6, **linears)
        cases["lora-bias-all"] = LoraConfig(r=4, lora_alpha=6, bias="all", **some)
    return cases


def save_adapter(model: PeftModel, base: str, folder: Path) -> None:
    config = model.peft_config["default"]
    config.base_model_name_or_path = base
    for field in ("target_modules", "feedforward_modules", "exclude_modules"):
        if isinstance(getattr(config, field, None), set):
            setattr(config, field, sorted(getattr(config, field)))  # a set has another order in every process
    # With copies of the embeddings that are targeted, as it does by itself.
    copies = TABLES.get(base) in list(config.target_modules or ()) if hasattr(config, "target_modules") else False
    model.save_pretrained(folder, save_embedding_layers=copies)
    (folder / "README.md").unlink()


def load_adapter(base: str, folder: Path) -> PeftModel:
    """Insists that PEFT takes the adapter's tensors and no others."""
    kind = json.loads((folder / "adapter_config.json").read_text())["peft_type"]
    llm = load_model(base)
    model = PeftModel.from_pretrained(use_linears(llm) if kind in LINEAR_ONLY else llm, folder).eval()
    choose_task(model)
    require_same_tensors(model, load_file(folder / "adapter_model.safetensors"))
    return model


def choose_task(model: PeftModel) -> None:
    """All examples are of the last task of Poly, or of multitask prompt tuning."""

    def give(layer: torch.nn.Module, args: tuple, kwargs: dict) -> tuple:
        return args, {**kwargs, "task_ids": torch.full((len(args[0]),), layer.n_tasks["default"] - 1)}

    for layer in model.modules():
        if isinstance(layer, poly.Linear):
            layer.register_forward_pre_hook(give, with_kwargs=True)
        if isinstance(layer, MultitaskPromptEmbedding):
            layer.register_forward_pre_hook(lambda own, args: (args[0], torch.full((len(args[0]),), own.num_tasks - 1)))


def require_same_tensors(model: PeftModel, adapter: dict[str, torch.Tensor]) -> None:
    """PEFT only warns of tensors that are missing or left over. Each layer of RandLoRA has a copy of the shared bases there, and a tied head of the trained rows."""
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    loaded = {n: t for n, t in loaded.items() if not re.fullmatch(r"base_model\.model\..*\.randlora_[AB]", n)}
    loaded = {n: t for n, t in loaded.items() if n != "base_model.model.lm_head.trainable_tokens_delta"}
    loaded = {n: t for n, t in loaded.items() if not n.endswith((".modules_to_save.bias", ".original_module.bias"))}  # of all biases, again
    if odd := loaded.keys() ^ adapter.keys():
        raise SystemExit(f"missing or unexpected in the adapter: {', '.join(sorted(odd))}")
    if other := [name for name, tensor in adapter.items() if not torch.equal(loaded[name], tensor)]:
        raise SystemExit(f"loaded with other values: {', '.join(sorted(other))}")


def trainable(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """By their names in the adapter's file, or in the encoder of prompts if the file holds what it computes."""
    # ShadowPEFT's files have the adapter's name, always `default`.
    found = {n if "shadow_" in n else n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    found = {n: p for n, p in found.items() if "layers.1.shadow_update" not in n}  # nothing reads the state behind the last block
    found = {n.replace(".modules_to_save", ""): p for n, p in found.items()}
    found = {n.replace("magnitude_vector.weight", "magnitude_vector"): p for n, p in found.items()}
    return {re.sub(r".*(vblora_vector_bank|unilora_theta_d|tinylora_v\.)", r"base_model.\1", n): p for n, p in found.items()}


def shake_all(params: dict[str, torch.nn.Parameter]) -> None:
    for parameter in params.values():
        shake(parameter, 0.2)


def make_method(base: str, method: str, config: object) -> None:
    torch.manual_seed(SEEDS.get((base, method), 1))
    llm = load_model(base)
    if config.peft_type in LINEAR_ONLY:
        llm = use_linears(llm)
    config.task_type = "CAUSAL_LM"
    model = get_peft_model(llm, config).eval()
    choose_task(model)
    params = trainable(model)
    sampling = {n: params.pop(n) for n in list(params) if "monteclora_sampler" in n}  # without chance it has no gradient
    shake_all(params)
    out = OUT / f"{base}-{method}"
    save_adapter(model, base, out / "adapter")

    epsilon = EPSILONS.get((base, method), 1e-8)
    if config.peft_type == "ADALORA":
        golden = record_allocations(model, params)
        save_adapter(model, base, out / "adapter-allocated")
    else:
        # COFT and CPT put values back within their bound at the next forward pass.
        bounded = getattr(config, "coft", False) or config.peft_type == "CPT"
        after_step = (lambda step: model(torch.tensor([[0]]))) if bounded else (lambda step: None)
        penalty = model.base_model._get_kasa_loss if getattr(config, "kasa_config", None) else lambda: 0.0
        golden = record(
            model, params, initial=config.is_prompt_learning and config.peft_type not in ("CPT", "CARTRIDGE"), epsilon=epsilon, after_step=after_step, penalty=penalty,
            training=getattr(config, "velora_config", None) is not None,
        )
    golden |= {f"gradient {n}": torch.zeros_like(p) for n, p in sampling.items()} | {f"trained {n}": p for n, p in sampling.items()}
    if config.peft_type == "CPT":  # what is trained there is the way from the tokens, in the file are the rows
        moved = golden["trained prompt_encoder.delta_embedding.weight"]
        golden["trained prompt_encoder.delta_embedding.weight"] = moved + model.prompt_encoder["default"].embedding.weight
    if config.peft_type == "CARTRIDGE":  # in the file they are one tensor with those that are frozen
        name, frozen = "prompt_encoder.trainable_embedding", model.prompt_encoder["default"].frozen_embedding
        golden[f"gradient {name}"] = torch.cat([torch.zeros_like(frozen), golden[f"gradient {name}"]])
        golden[f"trained {name}"] = torch.cat([frozen, golden[f"trained {name}"]])
    save_tensors(out / "golden.safetensors", golden)


def record_allocations(model: PeftModel, params: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Also: which triplets each allocation keeps, importance of the triplets at it, and logits after the last."""
    golden = {}
    allocator = model.base_model.rankallocator
    mask_to_budget = allocator.mask_to_budget

    def watched(module: torch.nn.Module, budget: int) -> dict[str, list[bool]]:
        scores = {n.removesuffix("lora_E.default"): score for n, score in triplet_scores(allocator, module).items()}
        ordered = torch.cat(list(scores.values())).sort().values
        cut = len(ordered) - budget
        if ordered[cut] < 1.05 * ordered[cut - 1]:
            raise SystemExit("two triplets are almost equally important: choose another seed")
        pattern = mask_to_budget(module, budget)
        step = sum(name.startswith("budget") for name in golden) + 1
        golden[f"budget {step}"] = torch.tensor([budget]).int()
        golden.update({f"importance {step} base_model.model.{n}lora_E": s for n, s in scores.items()})
        golden.update({
            f"kept {step} base_model.model.{n.removesuffix('.default')}": torch.tensor(kept).int()
            for n, kept in pattern.items()
        })
        return pattern

    allocator.mask_to_budget = watched
    golden |= record(model, params, after_step=model.base_model.update_and_allocate)
    with torch.no_grad():
        golden["allocated logits"] = model(input_ids=golden["ids"].long()).logits
    return golden


def triplet_scores(allocator: object, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    scores = {}
    for name, _ in module.named_parameters():
        if "lora_E.default" in name:
            e, a, b = (allocator._element_score(name.replace("lora_E", f"lora_{part}")) for part in "EAB")
            scores[name] = e.view(-1) + a.mean(1) + b.mean(0)
    return scores


def make_bias_tuning(base: str) -> None:
    """BitFit (Zaken, Ravfogel, Goldberg 2022): every bias of the model is trained, without a library."""
    torch.manual_seed(SEEDS.get((base, "bitfit"), 1))
    model = load_model(base).requires_grad_(False)
    params = {n: p.requires_grad_() for n, p in model.named_parameters() if n.endswith(".bias")}
    shake_all(params)
    save_tensors(OUT / f"{base}-bitfit" / "golden.safetensors", record(model, params, initial=True, epsilon=1e-4))


def make_peft_methods(only: set[str] = set()) -> None:
    for base in ("plain", "square", "gpt2"):
        for method, config in configs(base).items():
            if not only or f"{base}-{method}" in only:
                make_method(base, method, config)
    if not only:
        make_bias_tuning("gpt2")


if __name__ == "__main__":
    make_peft_methods(set(sys.argv[1:]))
