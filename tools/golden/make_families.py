"""Records what transformers computes with tiny models of every family and task, and PEFT with adapters on them, in
data/python/families.

Usage: python make_families.py [NAME ...]; all without names
"""

import sys

import torch
from peft import CartridgeConfig, IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, UniLoraConfig, get_peft_model

from common import continue_greedily, save_tensors
from decoders import DECODERS, HEADED
from encoders import ENCODER_ADAPTERS
from families import (
    FAMILIES, MODELS, draw_inputs, draw_numbers, label_inputs, load_model, logits_of, make_model, plain_call, stored_labels, stored_logits,
)
from peft_methods import by_layer, choose_task, save_adapter, shake_all, trainable

TASKS = {"sequence": "SEQ_CLS", "token": "TOKEN_CLS", "causal": "CAUSAL_LM", "answers": "QUESTION_ANS"}

# Every type of PEFT that changes layers (but Lily, whose mean counts padding), on an encoder and an encoder-decoder: layers of unlike sizes, in both towers.
TYPES = ("dora", "vera", "loha", "lokr", "hira", "hra", "delora", "miss", "gralora", "oft", "road", "c3a", "shira", "deft", "peanut", "glora", "fourierft", "vblora",
         "randlora", "pvera", "unilora", "tinylora", "supertuning", "waveft", "osf", "frod", "poly", "boft", "adalora")
TARGETS = {"bert-sequence": ["query", "value", "output.dense"], "t5": ["q", "v", "wo"]}


def every_type(name: str) -> dict[str, object]:
    def maker(method: str) -> object:
        def make(task_type: str) -> object:
            config = by_layer(dict(target_modules=TARGETS[name]))[method]
            config.task_type = task_type
            return config

        return make

    return {method: maker(method) for method in TYPES}


# Its places are drawn over the layers in the order in which the class has them, which is not that of the forward pass.
DRAWN = {"unilora": lambda **o: UniLoraConfig(r=2, theta_d_length=40, proj_seed=7, init_theta_d_bound=0.5, target_modules="all-linear", **o)}

# Their files have parts of a tower that the head leaves unread.
UNREAD = ("clip-image", "siglip-image")

# The targets are PEFT's own, for each family.
ADAPTERS = {
    "bert-sequence": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o), "ia3": IA3Config,
        "prompt-tuning": lambda **o: PromptTuningConfig(num_virtual_tokens=4, **o),
        "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, **o),
        "lora-repeated": lambda **o: LoraConfig(r=2, target_modules=["value"], layer_replication=[[1, 2], [0, 2]], **o),
        "lora-bias": lambda **o: LoraConfig(r=2, target_modules=["query", "output.dense"], bias="all", **o),
        # Without a task it leaves the head as it is, or changes it as any other layer.
        "lora-no-task": lambda **o: LoraConfig(r=2, target_modules=["query", "classifier"]),
        **every_type("bert-sequence"),
    },
    "bert-answers": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o)},
    "bert-choice": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, modules_to_save=["classifier"], **o)},
    "bert-token": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o)},
    "t5": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o), "ia3": IA3Config,
        "prompt-tuning": lambda **o: PromptTuningConfig(num_virtual_tokens=4, **o),
        # Its defaults are the encoder's blocks, and heads that divide the width.
        "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, num_layers=3, token_dim=24, **o),
        "cartridge": lambda **o: CartridgeConfig(num_virtual_tokens=4, num_frozen_tokens=0, num_layers=3, token_dim=24, **o),
        "lora-tokens": lambda **o: LoraConfig(r=4, trainable_token_indices=[3, 5], **o),
        "lora-head": lambda **o: LoraConfig(r=4, target_modules=["q", "lm_head"], **o),
        "lora-head-whole": lambda **o: LoraConfig(r=4, modules_to_save=["lm_head"], **o),
        **every_type("t5"),
    },
    # Their heads share the table of the tokens.
    "bert-masked": {
        "lora-head": lambda **o: LoraConfig(r=4, target_modules=["query", "decoder"], **o),
        "lora-embedding": lambda **o: LoraConfig(r=4, target_modules=["query", "word_embeddings"], **o),
    },
    "t5-gated": {"lora": lambda **o: LoraConfig(r=4, target_modules="all-linear", **o)},
    "mt5": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o)},
    "llama-token": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o)},
    "llama-sequence": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o)},
    "gpt2-sequence": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, fan_in_fan_out=True, **o)},
    "bart": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o), "ia3": IA3Config,
        "prompt-tuning": lambda **o: PromptTuningConfig(num_virtual_tokens=4, **o),
        "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, num_layers=3, num_attention_heads=2, **o),
    },
    **{
        name: {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q", "v"], modules_to_save=["classification_head"], **o)}
        for name in ("t5-sequence", "umt5-sequence", "mt5-sequence")
    },
    **{
        name: {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["k", "wo"], **o)}
        for name in ("t5-token", "umt5-token", "mt5-token")
    },
    "bart-even": {"prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, **o)},
    "bart-sequence": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, modules_to_save=["classification_head"], **o)},
    "mbart-answers": {"lora": lambda **o: LoraConfig(r=4, target_modules=["q_proj", "v_proj"], **o)},
    "umt5": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q", "v"], **o),
        "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, **o),
    },
    "mbart": {"lora": lambda **o: LoraConfig(r=4, target_modules=["k_proj", "out_proj", "fc1"], **o)},
    **ENCODER_ADAPTERS,
    "vit-image": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"], **o)},
    "deit-image": {"lora": lambda **o: LoraConfig(r=4, target_modules=["k_proj", "o_proj", "fc1"], modules_to_save=["classifier"], **o)},
    "dinov2-image": {
        "lora": lambda **o: LoraConfig(r=4, target_modules=["v_proj", "fc2"], modules_to_save=["classifier"], **o),
        "ia3": lambda **o: IA3Config(target_modules=["k_proj", "v_proj", "fc2"], feedforward_modules=["fc2"], modules_to_save=["classifier"], **o),
    },
    "beit-image": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"], **o)},
    "swin-image": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"], **o),
        "lora-all": lambda **o: LoraConfig(r=2, target_modules="all-linear", modules_to_save=["classifier"], **o),
    },
    "clip-image": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "out_proj", "fc1"], modules_to_save=["classifier"], **o)},
    # The last layer stands in the pooling too, which the head leaves unread.
    "siglip-image": {"lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "fc1"], modules_to_save=["classifier"], **o)},
    "clip-pairs": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], **o),
        "lora-all": lambda **o: LoraConfig(r=2, target_modules="all-linear", **o),
        "lora-text": lambda **o: LoraConfig(r=2, target_modules=r"text_model\..*\.(k_proj|out_proj|fc2)", **o),
        "ia3": lambda **o: IA3Config(target_modules=["k_proj", "v_proj", "fc2"], feedforward_modules=["fc2"], **o),
    },
    "siglip-pairs": {
        "lora": lambda **o: LoraConfig(r=2, target_modules=["q_proj", "v_proj", "text_model.head"], **o),
        # Without its pooling, whose layers PEFT takes for linear ones.
        "unilora": lambda **o: UniLoraConfig(r=2, theta_d_length=40, proj_seed=7, init_theta_d_bound=0.5, target_modules=["q_proj", "v_proj", "text_model.head", "k_proj"], **o),
    },
    **{
        name: {
            "lora": lambda targets=targets, **o: LoraConfig(r=4, lora_alpha=6, target_modules=targets, **o),
            **(DRAWN if name in ("gptj-causal", "phi3-causal", "opt-350m-causal") else {}),
        }
        for name, targets in [*((name, targets) for name, (_, _, targets) in DECODERS.items()), *HEADED.items()]
    },
    "llama-linear-causal": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o),
        "lora-repeated": lambda **o: LoraConfig(r=2, target_modules=["q_proj", "down_proj"], layer_replication=[[0, 2], [1, 2], [0, 2]], **o),
    },
    # Rows and keys in front move learned positions, and count in ALiBi.
    **{
        name: {
            "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, **o),
            "prompt-tuning": lambda **o: PromptTuningConfig(num_virtual_tokens=4, **o),
            "prefix-tuning": lambda **o: PrefixTuningConfig(num_virtual_tokens=4, **o),
        }
        for name in ("opt-causal", "bloom-causal")
    },
    "mixtral-causal": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], **o),
        "lora-experts": lambda **o: LoraConfig(
            r=2, lora_alpha=3, target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"], **o
        ),
    },
    # PEFT makes target_parameters of experts and routers of it.
    "qwen2-moe-causal": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["k_proj", "o_proj", "shared_expert_gate"], **o),
        "lora-all": lambda **o: LoraConfig(r=2, lora_alpha=3, target_modules="all-linear", **o),
    },
    "gpt-oss-causal": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "o_proj"], **o),
        "lora-experts": lambda **o: LoraConfig(
            r=2, lora_alpha=3, target_modules=["v_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "router.weight"], **o
        ),
    },
    "qwen3-moe-causal": {
        "lora": lambda **o: LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "o_proj"], **o),
        "lora-experts": lambda **o: LoraConfig(r=3, lora_alpha=6, use_rslora=True, target_modules=[], target_parameters=["experts.down_proj"], **o),
    },
}


def integers(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Ids as they are stored; masks are numbers."""
    return {name: t.float() if name.endswith(("attention_mask", "pixel_values")) else t.int() for name, t in tensors.items()}


def gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    """Zeros of what nothing reads."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def load_plain(name: str) -> torch.nn.Module:
    """The model without a row of padding, of which torch would say that it has no gradient."""
    model = load_model(name)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model


def record_base(name: str) -> None:
    model = load_plain(name)
    inputs = draw_inputs(name)
    labels = label_inputs(name, inputs)
    out = model(**inputs, **labels)
    out.loss.backward()
    golden = integers(inputs) | {key: stored_labels(name, t) for key, t in labels.items() if isinstance(t, torch.Tensor)} | {
        "logits": stored_logits(name, logits_of(out), inputs), "losses": out.loss[None]
    }
    if name.endswith("choice"):
        golden |= {key: golden[key][0] for key in inputs}
    if name.endswith("causal"):
        golden["greedy"] = continue_greedily(model, inputs["input_ids"])
    golden |= {f"gradient {n}": gradient(p) for n, p in model.named_parameters() if p.grad is not None or name in UNREAD}
    if name.endswith("sequence"):
        numbers = draw_numbers(len(labels["labels"]))
        for problem, targets in (("multi_label_classification", (numbers > 0).float()), ("regression", numbers)):
            model.config.problem_type = problem
            golden |= {f"labels {problem}": targets, f"loss {problem}": model(**inputs, labels=targets).loss[None]}
    save_tensors(FAMILIES / name / "golden.safetensors", golden)


def record_adapter(name: str, method: str, config: object) -> None:
    torch.manual_seed(1)
    model = get_peft_model(load_plain(name), config).eval()
    choose_task(model)
    params = trainable(model)
    params = {n.replace(".modules_to_save", ""): p for n, p in params.items() if ".original_module." not in n}
    shake_all(params)
    out = FAMILIES / name / method
    save_adapter(model, name, out / "adapter")
    inputs = draw_inputs(name)
    labels = label_inputs(name, inputs)
    run = plain_call(name, model)
    golden = {"logits": stored_logits(name, logits_of(run(**inputs)), inputs)}
    losses = []
    optimizer = torch.optim.AdamW(params.values(), lr=1e-2, weight_decay=0.0)
    for step in range(3):
        optimizer.zero_grad()
        loss = run(**inputs, **labels).loss
        loss.backward()
        if step == 0:
            golden |= {f"gradient {n}": gradient(p).clone() for n, p in params.items()}
        optimizer.step()
        losses.append(loss.detach())
    golden |= {f"trained {n}": p for n, p in params.items()}
    save_tensors(out / "golden.safetensors", golden | {"losses": torch.stack(losses)})


def task_type(name: str) -> str:
    last = name.split("-")[-1]
    return "SEQ_2_SEQ_LM" if MODELS[name][1].is_encoder_decoder and last not in TASKS else TASKS.get(last)


def main(names: list[str]) -> None:
    for name in names or MODELS:
        make_model(name)
        record_base(name)
        for method, config in ADAPTERS.get(name, {}).items():
            record_adapter(name, method, config(task_type=task_type(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
