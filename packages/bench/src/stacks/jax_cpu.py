"""JAX on the CPU with optax, as its users write a training step: one function under jit, whose state is donated."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from protocol import folder, name, options, read_json, serve, task
from safetensors.numpy import load_file

dtype = jnp.bfloat16 if name.endswith("bf16") else jnp.float32


def open_matmul():
    operands = {key: jnp.asarray(value) for key, value in load_file(folder / "operands.safetensors").items()}

    @jax.jit
    def square(a, b):
        y = (a.T if task["transposeA"] else a) @ (b.T if task["transposeB"] else b)
        return (y * y).mean(1).mean()

    return lambda: [square(operands["a"], operands["b"]).item()]


def rms_norm(x, weight, eps):
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt((wide * wide).mean(-1, keepdims=True) + eps)).astype(x.dtype) * weight


def rotate(x, cos, sin):
    """Rotary positions of [batch, tokens, heads, head]; the two halves of a head are the pairs."""
    a, b = jnp.split(x, 2, axis=-1)
    return (x * cos + jnp.concatenate([-b, a], axis=-1) * sin).astype(x.dtype)


def decoder(config):
    """The logits of a Llama: of its weights, an adapter on q and v, and ids [batch, tokens]."""
    heads, groups, eps = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    theta = config.get("rope_theta") or config.get("rope_parameters", {}).get("rope_theta", 10000.0)

    def logits(weights, adapter, ids):
        batch, tokens = ids.shape
        angles = jnp.arange(tokens)[:, None] / theta ** (jnp.arange(0, head, 2) / head)[None]
        angles = jnp.concatenate([angles, angles], axis=-1)[:, None]
        cos, sin = jnp.cos(angles), jnp.sin(angles)

        def linear(x, path):
            y = x @ weights[f"{path}.weight"].T
            if f"{path}.bias" in weights:
                y = y + weights[f"{path}.bias"]
            key = f"base_model.model.{path}"
            if f"{key}.lora_A.weight" not in adapter:
                return y
            a, b = (adapter[f"{key}.lora_{half}.weight"].astype(x.dtype) for half in "AB")
            return y + (x @ a.T @ b.T) * (task["alpha"] / task["rank"])

        x = weights["model.embed_tokens.weight"][ids]
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            y = rms_norm(x, weights[f"{at}.input_layernorm.weight"], eps)
            q = linear(y, f"{at}.self_attn.q_proj").reshape(batch, tokens, heads, head)
            k = linear(y, f"{at}.self_attn.k_proj").reshape(batch, tokens, groups, head)
            v = linear(y, f"{at}.self_attn.v_proj").reshape(batch, tokens, groups, head)
            mixed = jax.nn.dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
            x = x + linear(mixed.reshape(batch, tokens, heads * head), f"{at}.self_attn.o_proj")
            y = rms_norm(x, weights[f"{at}.post_attention_layernorm.weight"], eps)
            inner = jax.nn.silu(linear(y, f"{at}.mlp.gate_proj")) * linear(y, f"{at}.mlp.up_proj")
            x = x + linear(inner, f"{at}.mlp.down_proj")
        x = rms_norm(x, weights["model.norm.weight"], eps)
        return linear(x, "model.embed_tokens" if config.get("tie_word_embeddings") else "lm_head")

    return logits


def open_step():
    logits = decoder(read_json("model/config.json"))
    weights = {key: jnp.asarray(value, dtype) for key, value in load_file(folder / "model/model.safetensors").items()}
    adapter = {}
    if task["method"] == "lora":
        adapter = {key: jnp.asarray(value) for key, value in load_file(folder / "adapter/adapter_model.safetensors").items()}
    batch = read_json("batch.json")
    ids, labels = (jnp.asarray(batch[key]).reshape(task["batch"], task["tokens"]) for key in ("ids", "labels"))
    optimizer = optax.adamw(task["learningRate"], weight_decay=0.0)

    def loss_of(trained, frozen):
        own = logits(trained, {}, ids) if task["method"] == "full" else logits(frozen, trained, ids)
        each = optax.softmax_cross_entropy_with_integer_labels(own.astype(jnp.float32), jnp.maximum(labels, 0))
        counted = labels >= 0
        return (each * counted).sum() / counted.sum()

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(trained, state, frozen):
        loss, grads = jax.value_and_grad(loss_of)(trained, frozen)
        updates, state = optimizer.update(grads, state, trained)
        return optax.apply_updates(trained, updates), state, loss

    trained, frozen = (weights, {}) if task["method"] == "full" else (adapter, weights)
    held = {"trained": trained, "state": optimizer.init(trained)}

    def run():
        held["trained"], held["state"], loss = step(held["trained"], held["state"], frozen)
        return [loss.item()]

    return run


run = {"matmul": open_matmul, "step": open_step}[task["kind"]]()
serve(run, f"{options['threads']} threads", ("jax", "jaxlib", "optax"))
