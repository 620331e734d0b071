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

/** Options of `periodicLora`. */
export interface PeriodicLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of each update. Default 8. */
  readonly rank?: number;
  /** The updates are scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Steps of a stage. Default 1000. */
  readonly period?: number;
  /** m: the part of what was unloaded last that is unloaded again, 1 − m of what was learned. Default 0. */
  readonly momentum?: number;
  /** Steps over which the learning rate grows from 0 at the beginning of a stage. Default 100; 0 for none. */
  readonly warmup?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * PeriodicLoRA: y = (W + S)·x + (alpha/r)·B·A·dropout(x), LoRA in stages of `period` steps: at the end of each D ← m·D + (1 − m)·(alpha/r)·B·A is unloaded, S ← S + D, A [rank, in] is
 * drawn again from U(−1/√in, 1/√in), B [out, rank] is zero, and the optimiser begins anew. With m above 0 unloading changes the function, and what a last stage has not unloaded counts
 * in full. W itself stays as it is; S [out, in] is frozen and saved with the adapter. Merges. Throws as `lora`.
 * Meng et al., 2024. https://arxiv.org/abs/2402.16141. Read were its abstract and summaries, from which the form of the momentum comes; no code was published.
 */
export const periodicLora: MethodFactory<PeriodicLoraOptions> = defineMethod<PeriodicLoraOptions>({
  name: 'periodicLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      period: count('period', 1000),
      momentum: rate('momentum', 0),
      warmup: wholeNumber('warmup_steps', 100),
      dropout: rate('lora_dropout', 0),
      bias: biases('periodicLora'),
    },
    attach: (model, scope, options) => {
      const { patch, layers } = attachRestarted('periodicLora', model, scope, options);
      return { ...patch, decision: restart(layers, options) };
    },
  },
  files: { peftType: 'PEFTJS_PERIODIC_LORA' },
  card: {
    about: 'low-rank updates in stages, unloaded at the end of each',
    paper: {
      authors: 'Meng et al.',
      year: 2024,
      title: 'PeriodicLoRA: Breaking the Low-Rank Bottleneck in LoRA Optimization',
      url: 'https://arxiv.org/abs/2402.16141',
    },
    learningRate: 3e-4,
    narrowRate: 1e-2,
  },
});
