import { count, defineMethod, type MethodFactory, normal, zeros } from '@peftjs/core';
import { add, mul, reshape, tanh } from '@peftjs/tensor';
import type { Around } from '@peftjs/transformer';
import { adaptionPrompt } from './adaption-prompt.ts';
import { attendPrompt, lastAttentions, lastLayers, scopesOf } from './attended-prompt.ts';

/** Options of `llamaAdapter`. */
export interface LlamaAdapterOptions {
  /** Rows m of each layer's prompt. Default 10. */
  readonly length?: number;
  /** How many of the last layers have one. Default all; the paper has 30 of 32. */
  readonly layers?: number;
}

/**
 * LLaMA-Adapter: in the last layers each head gives tanh(g)·A(q, P) + A(q, x), the first of which is attention over keys and values that the layers of the attention make of
 * m trained rows P [1, m, d], from N(0, 1), with a softmax of its own; g [heads] is trained, zero at the start. `adaptionPrompt` is Hugging Face PEFT's form, with one gate for all heads.
 * Files have a layout of our own. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Zhang et al., 2023. https://arxiv.org/abs/2303.16199 By the authors' code, https://github.com/OpenGVLab/LLaMA-Adapter, alpaca_finetuning_v1/llama/model.py.
 */
export const llamaAdapter: MethodFactory<LlamaAdapterOptions> = defineMethod<LlamaAdapterOptions>({
  name: 'llamaAdapter',
  formula: {
    merges: false,
    options: { length: count('adapter_len', 10), layers: lastLayers },
    attach: (model, scope, { length, layers }) => {
      const { hiddenSize, heads } = model.main;
      const around = scopesOf(lastAttentions(model, layers, 'llamaAdapter'), scope, (place, own): Around<'heads'> => {
        const prompt = own.param('adaption_prompt', [1, length, hiddenSize], normal(1));
        const gate = own.param('adaption_gate', [heads], zeros);
        return (q, next, call) =>
          add(next(q), mul(attendPrompt(q, prompt, place, call), reshape(tanh(gate), [1, heads, 1, 1])));
      });
      return { around: { heads: new Map(around) } };
    },
  },
  files: { peftType: 'PEFTJS_LLAMA_ADAPTER' },
  card: {
    about: "rows that the last layers' attention reads, behind a gate of each head",
    paper: adaptionPrompt.paper,
    learningRate: 9e-3,
    narrowRate: 0.1,
  },
});
