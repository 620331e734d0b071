"""Trains classifiers in PyTorch with Hugging Face PEFT or AdapterHub's adapters, from the first values, batches and rates that it is given.

Arguments: folders of jobs, each with job.json. Prints a line of JSON for each job.
"""

import gc
import json
import re
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import BertForSequenceClassification


def resident():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)[1]) * 1024


def base_model(job):
    model = BertForSequenceClassification.from_pretrained(
        job["model"], num_labels=job["labels"], dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model.requires_grad_(False)
    return model


def peft_model(job, folder):
    from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict

    config = PeftConfig.from_pretrained(folder / "adapter")
    if not config.is_prompt_learning:
        return PeftModel.from_pretrained(base_model(job), folder / "adapter", is_trainable=True)
    # The library loads prompts only for use.
    config.inference_mode = False
    model = get_peft_model(base_model(job), config)
    result = set_peft_model_state_dict(model, load_file(folder / "adapter/adapter_model.safetensors"))
    # Prompts are no part of the module, and loaded all the same.
    if odd := set(result.unexpected_keys) - {"prompt_embeddings"}:
        raise SystemExit(f"unexpected tensors: {', '.join(sorted(odd))}")
    return model


def hub_name(name):
    """The adapters library keeps a bottleneck in the layer after which it stands."""
    return name.replace(".attention_adapters.", ".attention.output.").replace(".output_adapters.", ".output.")


def own_model(job, folder):
    """With the tensors that are trained, all weights or some, by the names of the model."""
    first = load_file(folder / "first.safetensors")
    model = base_model(job)
    if job["peer"] == "adapters":
        import adapters
        from adapters import DoubleSeqBnConfig

        adapters.init(model)
        model.add_adapter("default", config=DoubleSeqBnConfig())
        model.set_active_adapters("default")
        first = {hub_name(name): tensor for name, tensor in first.items()}
    model.requires_grad_(job["whole"])
    params = dict(model.named_parameters())
    if odd := first.keys() - params.keys():
        raise SystemExit(f"unknown tensors: {', '.join(sorted(odd))}")
    for name, tensor in first.items():
        params[name].data.copy_(tensor)
        params[name].requires_grad_(True)
    return model


def rows_of(part, width):
    return [
        {
            "input_ids": torch.tensor(batch["ids"]).view(-1, width),
            "attention_mask": torch.tensor(batch["mask"]).view(-1, width),
            "labels": torch.tensor(batch["labels"]),
        }
        for batch in part
    ]


@torch.inference_mode()
def measure(model, batches, labels):
    model.eval()
    loss, rows, hits = 0.0, 0, torch.zeros(labels, labels)
    for batch in batches:
        out = model(**batch)
        loss += out.loss.item() * len(batch["labels"])
        rows += len(batch["labels"])
        for predicted, wanted in zip(out.logits.argmax(1), batch["labels"]):
            hits[wanted, predicted] += 1
    f1 = 2 * hits.diag() / (hits.sum(0) + hits.sum(1)).clamp(min=1)
    return {"accuracy": (hits.trace() / rows).item(), "macroF1": f1.mean().item(), "loss": loss / rows}


def run(folder):
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    model = peft_model(job, folder) if job["peer"] == "peft" else own_model(job, folder)
    train, test = (rows_of(job[part], job["width"]) for part in ("train", "test"))
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=0.0, weight_decay=0.0)
    model.train()
    first, since = [], 0.0
    Path("/proc/self/clear_refs").write_text("5")
    for step, (batch, rate) in enumerate(zip(train, job["rates"], strict=True), 1):
        optimizer.param_groups[0]["lr"] = rate
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step <= job["first"]:
            first.append(loss.item())
        if step == job["first"]:
            since = time.process_time()
    used = time.process_time() - since
    rows = sum(len(batch["labels"]) for batch in train[job["first"] :])
    return {
        "parameters": sum(p.numel() for p in params), "first": first, "rowsPerSecond": rows / used, "resident": resident(), "planned": None,
    } | measure(model, test, job["labels"])


for path in sys.argv[1:]:
    print(json.dumps(run(Path(path))), flush=True)
    gc.collect()
