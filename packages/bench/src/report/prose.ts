/** The words of docs/performance.md. */
export const prose = {
  intro: `<!-- Made by \`pnpm bench --page\` from the results in packages/bench/results; the words are in packages/bench/src/report/prose.ts. -->

# Performance

What training and generation cost with peftjs, beside what else a developer could use: PyTorch with Hugging Face's transformers and peft,
[JAX](https://github.com/jax-ml/jax), [llama.cpp](https://github.com/ggml-org/llama.cpp), [jax-js](https://github.com/ekzhang/jax-js), [TensorFlow.js](https://github.com/tensorflow/tfjs). All stacks get the same weights, tokens
and optimiser; each runs in a process of its own. [packages/bench](../packages/bench/README.md) tells how to repeat it.`,

  reading: `## How to read it

- \`tokens/s\` counts tokens that have a label, so padding is work but no result; \`GFLOP/s\` counts 2·m·k·n for a product.
- The stacks take turns, round after round. The rate is the median over the rounds, the spread the median distance from it, \`x\` the
  median of the quotients with the first stack within a round: what else the machine did met all alike. A slow stack takes fewer turns.
- \`peak\` is the most memory that the process had resident, runtime and weights included. \`start\` is the time until the first step could
  begin: runtime, loading, compiling; \`first step\` until it was done, as some compile at the first. Where the processor tells of its energy
  there is a column of joules per run; on the machines below it does not.
- \`agrees\`: losses of the first steps within 10⁻³ of the reference's, generated tokens the same, products within a thousandth; of a stack
  that rounds what it multiplies to 16 or 8 bits losses within 0.02, and the first eight tokens. The
  reference is PyTorch's result where it took part, else the middle of all.

What is not claimed: **no hardware GPU was timed**. WebGPU ran on the software adapter that the table of stacks names, which checks the
kernels and tells nothing of their speed on a GPU; what a GPU allows is told [on paper](#the-roofline-on-paper) alone. The models
are small and their weights random, so that a figure takes seconds; speed does not depend on the values of weights.`,

  inShort: `How many times as fast peftjs is as others on the same device; what computed something else than the reference does not take part.
PyTorch without a word is eager and in f32. *int8* is ours over a base whose products are of whole numbers, beside PyTorch as it is fastest: in bfloat16, eager and compiled.
On the CPU jax-js and TensorFlow.js run as WebAssembly. jax-js takes longer for a LoRA step than for a full one there: its products of rank 8
are slow within a step, though not alone, however they are written (scale on the wide or the narrow side, two axes or three).`,

  memory: `What each device against memory is worth, one added after the other: LoRA on the d 576 model at 2 x 512 tokens. \`planned\` is the peak
that is known before the first run, \`held\` what the executor then held (on the CPU its arrays, on WebGPU its buffers), \`process\` what the
process grew by since the executor was opened.

On the CPU attention is made of products and softmax over blocks of queries, whose weights are kept for the backward pass: there its line
saves the masked half alone, and checkpointing the rest. On WebGPU no scores are ever in memory. Packing lays documents end to end where a
row had one document and padding (9 of 16 tokens are text then): the same memory and work, and more tokens that count.`,

  planned: `What \`plan.peakBytes\` says before the first run, and what the process then grew by since the executor was opened: everything that is no array of
the program is more. That is ONNX Runtime's code and its session (about 40 MB), the graph in JavaScript (20 to 40 MB), first values that are
copied and wait for the collector, and, with the size of the program, what the runtime's allocator cannot fill.`,

  scaling: `The small LoRA task, with one size changed. Time is linear in batch and depth, as the straight line through the points tells: \`r2\` is the
share of the variance that it explains, \`off the line\` the largest distance of a point from it. In the sequence it grows faster, since
every token meets all before it.

![Step time and memory by sequence, batch and depth](performance/scaling.svg)`,

  profile: `\`pnpm bench --profile\`: every kernel by itself. On the CPU a program runs six times in a session that ONNX Runtime profiles, and a kernel counts with the least
that it took in the last five; optimisers' steps run on the host, once. \`op\` is what the program has and \`kernel\` what runs for it, with m x k x n of a product. The
limit is what a product of 1024 x 1024 x 1024 reached right after, so \`of limit\` tells what is left to win in the products; all else is passes over memory. Kernels below
1 % of the time are one line. \`between kernels\` is ONNX Runtime itself, its profiler included.`,

  roofline: `No such GPU was here: these figures are computed. \`planProgram\` of \`@peftjs/webgpu\` lowers a whole training step (forward, backward,
AdamW) of a published model to its kernels, as the WebGPU executor does on a desktop GPU, without a device and without weights. \`TFLOP\`
are the operations of one step; \`GB moved\` counts each tensor once for every kernel that touches it: a kernel that reads a tensor twice
moves more, a cache that still holds it saves some; \`peak\` is the planned memory, weights and optimiser included. LoRA has rank 16
on all linear layers; QLoRA's base is in NF4 with double quantisation, embedding and head excepted; 4 x 1024 tokens; f32.

A step is held to last as long as its arithmetic at the vendor's peak or as its traffic at the vendor's bandwidth, whichever is more. Kernels
reach a part of either, so the limit is a bound and no forecast. \`fits\` compares the peak with all of the GPU's memory; a desktop takes
some of that. The GPUs are assumed as follows:`,
} as const;
