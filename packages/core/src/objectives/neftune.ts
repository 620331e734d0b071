import { add, checkOptions, mul, mustBe, type Rules, sub, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { type Objective, supervised, type Views } from '../objective.ts';
import { reportingAs, shiftedTokens, trainingAs } from './shifted-tokens.ts';

/** Options of `neftune`. */
export interface NeftuneOptions {
  /** α, the size of the noise. Default 5. */
  readonly alpha?: number;
  /** The objective that sees the noise. Default: the task's own loss. */
  readonly objective?: Objective;
}

const rules: Rules<NeftuneOptions> = { alpha: mustBe.positive, objective: mustBe.fn };

/** Rows [..., T, d] with noise, uniform in ±α/√(T·d). */
const noisy = (rows: Tensor, alpha: number, draw: NonNullable<Views['draw']>): Tensor => {
  const [tokens, width] = rows.shape.slice(-2) as [number, number];
  return add(rows, mul(sub(mul(draw(rows.shape), 2), 1), alpha / Math.sqrt(tokens * width)));
};

/**
 * NEFTune: noise at the embeddings of tokens while training, uniform in ±α/√(T·d) for rows of T tokens (padding counts) and width d, drawn anew in every pass; rows that prompts
 * put in front have none. As transformers' `neftune_noise_alpha`. Throws `bad-option`. Jain et al., 2023. https://arxiv.org/abs/2310.05914
 */
export const neftune = (options: NeftuneOptions = {}): Objective => {
  checkOptions('neftune', rules, options);
  const { alpha = 5, objective = supervised as Objective } = options;
  return reportingAs(objective, (views, inputs) => {
    const { draw } = views;
    if (!draw) return objective(views, inputs);
    const train = (): TaskModel => shiftedTokens(views.train(), (rows) => noisy(rows, alpha, draw));
    return objective(trainingAs(views, train), inputs);
  });
};
