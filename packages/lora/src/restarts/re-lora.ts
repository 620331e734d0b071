import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  familyTarget,
  type MethodFactory,
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
} from '@peftjs/core';
import { attachRestarted, restart } from './restarts.ts';

/** Options of `reLora`. */
export interface ReLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of each update. Default 8. */
  readonly rank?: number;
  /** The updates are scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Steps from one beginning to the next. Default 1000. */
  readonly period?: number;
  /** Steps over which the learning rate then grows from 0. Default 100; 0 for none. */
  readonly warmup?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * ReLoRA: y = (W + S)·x + (alpha/r)·B·A·dropout(x), LoRA that after every `period` steps adds (alpha/r)·B·A to a sum S [out, in] and begins anew: A [rank, in] is drawn again
 * from U(−1/√in, 1/√in), B [out, rank] is zero, the optimiser forgets them, the rate grows anew. So the update gets a rank of up to the number of
 * periods times r. W itself stays as it is; S is frozen, of the size of W, and saved with the adapter. Beginning anew does not change the function. Merges.
 * Throws as `lora`.
 * Lialin, Shivagunde, Muckatira & Rumshisky, 2023. https://arxiv.org/abs/2307.05695. As the authors' code has it (`merge_and_reinit`),
 * https://github.com/Guitaricet/relora, with its default reset. Its pruning of moments by their magnitude is left out: A has no gradient in the first step
 * after B is zero, so that a first moment which is kept where the second is not would make a step of any size.
 */
export const reLora: MethodFactory<ReLoraOptions> = defineMethod<ReLoraOptions>({
  name: 'reLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      period: count('relora', 1000),
      warmup: wholeNumber('restart_warmup_steps', 100),
      dropout: rate('lora_dropout', 0),
      bias: biases('reLora'),
    },
    attach: (model, scope, options) => {
      const { patch, layers } = attachRestarted('reLora', model, scope, { ...options, momentum: 0 });
      return { ...patch, decision: restart(layers, { ...options, momentum: 0 }) };
    },
  },
  files: { peftType: 'PEFTJS_RELORA' },
  card: {
    about: 'low-rank updates that are summed up and begun anew',
    paper: {
      authors: 'Lialin et al.',
      year: 2023,
      title: 'ReLoRA: High-Rank Training Through Low-Rank Updates',
      url: 'https://arxiv.org/abs/2307.05695',
    },
    learningRate: 5e-4,
    narrowRate: 1e-2,
  },
});
