import { count, defineMethod, type MethodFactory, normal, zeros } from '@peftjs/core';
import { add, mul, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, joinHeads, slot } from '@peftjs/transformer';
import { attendPrompt, lastAttentions, lastLayers, scopesOf } from './attended-prompt.ts';

/** Options of `adaptionPrompt`. */
export interface AdaptionPromptOptions {
  /** Rows m of each layer's prompt. Default 10, the paper's. */
  readonly length?: number;
  /** How many of the last layers have one. Default all; the paper has 30 of 32. */
  readonly layers?: number;
}

/**
 * LLaMA-Adapter as Hugging Face PEFT has it: in the last layers y ← y + W_o·(g·A(q, P)), y what the attention gives, where A is attention of the queries over keys and values
 * that its own layers make of m trained rows P [1, m, d], from N(0, 1), and g one trained number, zero at the start. Where queries, keys and values are
 * one layer (GPT-2) PEFT leaves W_o out, and so does this. Of a W_o with a bias PEFT adds that again, which is left out here. `llamaAdapter` is the authors' own form.
 * Files are PEFT's, which has the method for Llama, Mistral and GPT-2. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Zhang et al., 2023. https://arxiv.org/abs/2303.16199 By huggingface/peft, tuners/adaption_prompt.
 */
export const adaptionPrompt: MethodFactory<AdaptionPromptOptions> = defineMethod<AdaptionPromptOptions>({
  name: 'adaptionPrompt',
  formula: {
    merges: false,
    options: { length: count('adapter_len', 10), layers: lastLayers },
    attach: (model, scope, { length, layers }) => {
      const places = scopesOf(lastAttentions(model, layers, 'adaptionPrompt'), scope, (place, own) => {
        const prompt = own.param('adaption_prompt', [1, length, model.main.hiddenSize], normal(1));
        const gate = own.param('adaption_gate', [1], zeros);
        const added = (q: Tensor, call: Call): Tensor => mul(attendPrompt(q, prompt, place, call), gate);
        if (place.key.path !== place.value.path)
          return { heads: ((q, next, call) => add(next(q), added(q, call))) as Around<'heads'>, attn: null };
        const beside = slot<Tensor>(`${place.path}.adaption`);
        const heads: Around<'heads'> = (q, next, call) => {
          call.pass.put(beside, joinHeads(added(q, call)));
          return next(q);
        };
        const attn: Around<'attn'> = (x, next, { pass }) => {
          const y = next(x);
          return add(y, pass.get(beside)!);
        };
        return { heads, attn };
      });
      return {
        around: {
          heads: new Map(places.map(([path, { heads }]) => [path, heads])),
          attn: new Map(places.flatMap(([path, { attn }]) => (attn ? [[path, attn] as const] : []))),
        },
      };
    },
  },
  files: {
    peftType: 'ADAPTION_PROMPT',
    computes: { target_modules: ['self_attn', 'attn', 'attention'] },
    config: (model) => ({ target_modules: model.paths('heads')[0]?.split('.').at(-1) ?? null }),
  },
  card: {
    about: "rows that the last layers' attention reads, behind a gate",
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'LLaMA-Adapter: Efficient Fine-tuning of Language Models with Zero-init Attention',
      url: 'https://arxiv.org/abs/2303.16199',
    },
    learningRate: 9e-3,
    narrowRate: 0.1,
  },
});
