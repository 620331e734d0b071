"""llama.cpp, as xllamacpp builds it: greedy continuation over its own file of the same weights."""

import xllamacpp
from protocol import folder, options, read_json, serve, task

params = xllamacpp.CommonParams()
params.model.path = str(folder / "model.gguf")
params.n_ctx = task["prompt"] + task["tokens"] + 16
params.n_parallel = 1
params.warmup = False
params.cpuparams.n_threads = options["threads"]
params.cpuparams_batch.n_threads = options["threads"]
server = xllamacpp.Server(params)
ask = {
    "prompt": read_json("prompt.json"),
    "n_predict": task["tokens"],
    "temperature": 0,
    "samplers": ["top_k"],
    "top_k": 1,
    "cache_prompt": False,
    "ignore_eos": True,
}


def run():
    answer = server.handle_completions(ask)
    # Its answers are texts; each token of the file is the letter t and its number.
    return [int(number) for number in answer["choices"][0]["text"].split("t")[1:]]


serve(run, f"{options['threads']} threads", ("xllamacpp",))
