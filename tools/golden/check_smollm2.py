"""The other side of smollm2.ts: a chat model with LoRA of PEFT in PyTorch, which does what the lines of its input say.

Started by smollm2.ts. Each line is a JSON list, the command and its arguments; the answer is a line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from peft_methods import require_same_tensors

MODEL = sys.argv[1]
LORA = dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
state: dict[str, object] = {}


def load(dtype: str = "float32") -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, dtype))


def begin(dtype: str, adapter: str, rate: float) -> None:
    """A model that trains; its adapter as it begins is written where there is none yet."""
    torch.manual_seed(1)
    base = load(dtype)
    if Path(adapter).exists():
        model = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    else:
        model = get_peft_model(base, LoraConfig(**LORA))
        model.save_pretrained(adapter)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    state.update(model=model, optimizer=torch.optim.AdamW(trained, lr=rate, weight_decay=0))


def step(ids: list[list[int]], labels: list[list[int]]) -> dict[str, float]:
    """One step; labels[t] is the token after ids[t]."""
    model, optimizer = state["model"], state["optimizer"]
    begun = time.perf_counter()
    logits = model(input_ids=torch.tensor(ids)).logits.float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(labels).flatten(), ignore_index=-100)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return {"loss": loss.item(), "seconds": time.perf_counter() - begun}


@torch.no_grad()
def greedy(prompt: list[int], tokens: int, adapter: str | None = None, gguf: str | None = None) -> list[int]:
    """New tokens of the base, of it with an adapter, which must take every tensor, or of a GGUF file that transformers unpacks."""
    if gguf:
        model = AutoModelForCausalLM.from_pretrained(str(Path(gguf).parent), gguf_file=Path(gguf).name, dtype=torch.float32)
    else:
        model = load()
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
        require_same_tensors(model, load_file(Path(adapter) / "adapter_model.safetensors"))
    out = model.eval().generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=tokens, do_sample=False)
    return out[0, len(prompt) :].tolist()


def turns(messages: list[dict]) -> list[int]:
    """Tokens of a conversation, as transformers writes it."""
    return AutoTokenizer.from_pretrained(MODEL).apply_chat_template(messages, return_dict=True)["input_ids"]


def peak() -> float:
    """MiB resident at most."""
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024


torch.set_num_threads(int(sys.argv[2]))
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps({"begin": begin, "step": step, "greedy": greedy, "turns": turns, "peak": peak}[name](*arguments)), flush=True)
