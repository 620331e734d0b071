"""The cosine of an adapter's gradient in bfloat16 with that in f32, by PyTorch. Arguments: the folders of the model and of the adapter, a JSON file of ids and labels, threads."""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model_dir, adapter_dir, batch_file, threads = sys.argv[1:5]
torch.set_num_threads(int(threads))
batch = json.loads(Path(batch_file).read_text())
ids, labels = (torch.tensor(batch[key]).view(*batch["shape"]) for key in ("ids", "labels"))


def gradient(dtype):
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype)
    model = PeftModel.from_pretrained(base, adapter_dir, is_trainable=True).train()
    loss = model(input_ids=ids, labels=labels, shift_labels=labels, use_cache=False).loss
    loss.backward()
    named = sorted((name, p.grad.flatten().double()) for name, p in model.named_parameters() if p.requires_grad)
    return loss.item(), torch.cat([grad for _, grad in named])


f32_loss, wanted = gradient(torch.float32)
loss, got = gradient(torch.bfloat16)
cosine = torch.nn.functional.cosine_similarity(got, wanted, dim=0).item()
print(json.dumps({"cosine": cosine, "f32Loss": f32_loss, "loss": loss}))
