import type { Adapted } from '@peftjs/core';
import { checkOptions, mustBe, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { composition, type ScoreOptions } from './composition.ts';
import { nelderMead } from './nelder-mead.ts';

/** How adapters are composed. */
export interface LoraHubOptions extends ScoreOptions {
  /** The most weights that are tried. Default 40. */
  readonly evaluations?: number;
  /** Weights stay within [−bound, bound]. Default 1.5. */
  readonly bound?: number;
}

const rules: Rules<LoraHubOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches, one at least', (v) => Array.isArray(v) && v.length > 0)),
  evaluations: mustBe.count,
  bound: mustBe.such('a number above 0', (v) => Number.isFinite(v) && (v as number) > 0),
  l1: mustBe.such('a number of at least 0', (v) => Number.isFinite(v) && (v as number) >= 0),
};

/** A composed adapter. */
export interface ComposedLora<M extends TaskModel> {
  /** Ordinary: to be used, trained further, saved. */
  readonly adapted: Adapted<M>;
  /** The weight of each adapter. */
  readonly weights: readonly number[];
  /** The mean loss over the examples with these weights, without the penalty. */
  readonly loss: number;
}

/**
 * LoRAHub: one adapter of several, for a task of which there are a few examples. Tensor by tensor Â = Σ wᵢAᵢ and B̂ = Σ wᵢBᵢ, so that products mix; the weights w, within [−bound, bound] and 0 at the start, are those of the least
 * mean loss plus `l1`·mean|w| that a search without gradients finds (Nelder–Mead, where the authors leave the choice to nevergrad). All adapters must be alike, LoRA or another method whose tensors may be summed. Throws `bad-option`, and `diverged` where no weights give a finite loss.
 * Huang et al., 2023. https://arxiv.org/abs/2307.13269. As the authors' code has it, https://github.com/sail-sg/lorahub, but for the search, and that it divides the sum of the losses of batches by the number of examples, where this takes the mean of batches.
 */
export const loraHub = async <M extends TaskModel>(
  adapters: readonly Adapted<M>[],
  options: LoraHubOptions,
): Promise<ComposedLora<M>> => {
  checkOptions('loraHub', rules, options);
  const { evaluations = 40, bound = 1.5 } = options;
  const { adapted, lossOf, scoreOf, close } = await composition(adapters, options);
  try {
    const zeros = adapters.map(() => 0);
    const { point, value } = await nelderMead(scoreOf, zeros, { bound, evaluations, size: bound / 3 });
    if (!Number.isFinite(value)) throw new PeftError('diverged', 'loraHub: no weights give a finite loss');
    return { adapted, weights: point, loss: await lossOf(point) };
  } finally {
    close();
  }
};
