"""PyTorch with Hugging Face transformers and peft, as their users write it. Speaks the protocol of run/protocol.ts."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

prepared, options = (json.loads(text) for text in sys.argv[1:3])
name = sys.argv[3]
dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
task, folder = prepared["task"], Path(prepared["dir"])
torch.set_num_threads(options["threads"])


def say(message):
    sys.stdout.write(f"#bench {json.dumps(message)}\n")
    sys.stdout.flush()


def peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("VmHWM is missing from /proc/self/status")


def load_model(quantization=None):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype, quantization_config=quantization)


def nf4():
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def open_matmul():
    from safetensors.torch import load_file

    operands = load_file(folder / "operands.safetensors")
    a, b = operands["a"], operands["b"]
    a = a.T if task["transposeA"] else a
    b = b.T if task["transposeB"] else b

    @torch.inference_mode()
    def run():
        y = a @ b
        return [(y * y).mean(1).mean().item()]

    return run


def open_step():
    model = load_model(nf4() if task["method"] == "qlora" else None)
    if task["method"] != "full":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    model.train()
    if name.startswith("torch-compile"):
        model = torch.compile(model)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=task["learningRate"], weight_decay=0.0)
    batch = json.loads((folder / "batch.json").read_text())
    ids, labels = (torch.tensor(batch[key]).view(task["batch"], task["tokens"]) for key in ("ids", "labels"))

    def run():
        loss = model(input_ids=ids, labels=labels, shift_labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return [loss.float().item()]

    return run


def open_generate():
    model = load_model().eval()
    prompt = torch.tensor([json.loads((folder / "prompt.json").read_text())])

    @torch.inference_mode()
    def run():
        tokens = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            use_cache=True,
            max_new_tokens=task["tokens"],
            min_new_tokens=task["tokens"],
            pad_token_id=0,
        )
        return tokens[0, prompt.shape[1] :].tolist()

    return run


run = {"matmul": open_matmul, "step": open_step, "generate": open_generate}[task["kind"]]()
versions = {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")}
say({"type": "ready", "device": f"{torch.get_num_threads()} threads", "versions": versions})

for command in sys.stdin:
    times, seconds = map(float, command.split()[1:])
    end = time.perf_counter() + seconds
    ms, values = [], []
    while not ms or (len(ms) < times and time.perf_counter() < end):
        start = time.perf_counter()
        values.append(run())
        ms.append((time.perf_counter() - start) * 1000)
    say({"type": "done", "ms": ms, "values": values[:5], "peakBytes": peak_bytes()})
