"""PyTorch with Hugging Face transformers and peft, as their users write it."""

import torch
from protocol import folder, name, options, read_json, serve, task

device = "cuda" if "cuda" in name else "cpu"
place = {"device_map": device} if device == "cuda" else {}
dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
torch.set_num_threads(options["threads"])


def load_model(quantization=None):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype, quantization_config=quantization, **place)


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

    operands = load_file(folder / "operands.safetensors", device=device)
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
    batch = read_json("batch.json")
    ids, labels = (torch.tensor(batch[key], device=device).view(task["batch"], task["tokens"]) for key in ("ids", "labels"))

    def run():
        loss = model(input_ids=ids, labels=labels, shift_labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return [loss.float().item()]

    return run


def open_generate():
    model = load_model().eval()
    prompt = torch.tensor([read_json("prompt.json")], device=device)

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
runs_on = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
serve(run, runs_on, ("torch", "transformers", "peft", "bitsandbytes"))
