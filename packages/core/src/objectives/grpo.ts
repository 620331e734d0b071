import {
  add,
  checkOptions,
  constant,
  div,
  exp,
  greater,
  maximum,
  minimum,
  mul,
  mustBe,
  neg,
  PeftError,
  type Rules,
  reshape,
  sameShape,
  sizeOf,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs, Loss } from '@peftjs/transformer';
import type { Objective, Views } from '../objective.ts';

/** Options of `grpo`. */
export interface GrpoOptions {
  /**
   * How tokens are added up: `dapo` a mean over all tokens; `grpo` a mean over completions of means over their tokens; `dr` a sum divided by completions times `length`; `cispo` as `dapo`, of
   * log-probabilities weighed by ratios of at most 1 + `clipHigh`. Default `dapo`.
   */
  readonly loss?: 'dapo' | 'grpo' | 'dr' | 'cispo';
  /** ε: ratios below 1 − ε count no further down. Default 0.2. */
  readonly clip?: number;
  /** Ratios above 1 + this count no further up. Default: `clip`. */
  readonly clipHigh?: number;
  /** β, how much it costs to leave the base; 0 asks no base. Default 0. */
  readonly beta?: number;
  /** Whether ratios are of tokens, or of sequences, as means of log-ratios over tokens (GSPO). Default `token`. */
  readonly level?: 'token' | 'sequence';
  /** Tokens of a completion at most, of the loss `dr`. */
  readonly length?: number;
  /** The temperature that completions were drawn at. Default 1. */
  readonly temperature?: number;
}

const rules: Rules<GrpoOptions> = {
  loss: mustBe.oneOf(['dapo', 'grpo', 'dr', 'cispo']),
  clip: mustBe.rate,
  clipHigh: mustBe.positive,
  beta: mustBe.notNegative,
  level: mustBe.oneOf(['token', 'sequence']),
  length: mustBe.count,
  temperature: mustBe.positive,
};

/** A column of one number a row: [rows, 1]. */
const ofRows = (inputs: Inputs, name: string, rows: number): Tensor => {
  const column = inputs[name];
  if (column?.dtype === 'f32' && sizeOf(column.shape) === rows) return reshape(column, [rows, 1]);
  throw new PeftError(
    'bad-option',
    `grpo: needs the input ${name}, f32, one number for each of ${rows} rows; \`rollouts\` of @peftjs/trainer makes such batches`,
  );
};

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/**
 * Group relative policy optimisation: completions that the model made itself, with advantages that say by how much each is better than others to the same prompt. With the
 * ratio r = π(token) / π_old(token) the loss of a token is −min(r·A, clip(r, 1 − ε, 1 + ε)·A) + β·r·(e^d − d − 1), d = log π_base − log π: the r of the last term (DeepSeek-AI, 2025,
 * https://arxiv.org/abs/2512.02556) makes its gradient that of the KL divergence. Where batches have no `oldLogProbs`
 * they are the model's own, so r is 1 and has its gradient.
 *
 * Batches come from `rollouts` of `@peftjs/trainer`: `ids`, `labels` of completions, `advantages` and `rewards` f32, one a row, and, where weights of before drew them (`rollouts({ updates: 4 })`), `oldLogProbs` f32 [rows, tokens] of the labels.
 * Reported are `reward`, `clipped`, the share of tokens (of sequences, at that level) beyond the clip, and with β `kl`, its term's mean. Each loss is computed as TRL 1.16 does, whose batches of a step are
 * one here. Throws `bad-option`, `bad-shape`.
 * Shao et al., 2024. https://arxiv.org/abs/2402.03300; DAPO: Yu et al., 2025, https://arxiv.org/abs/2503.14476; Dr. GRPO: Liu et al., 2025, https://arxiv.org/abs/2503.20783; CISPO:
 * MiniMax, 2025, https://arxiv.org/abs/2506.13585; GSPO: Zheng et al., 2025, https://arxiv.org/abs/2507.18071
 */
export const grpo = (options: GrpoOptions = {}): Objective => {
  checkOptions('grpo', rules, options);
  const { loss = 'dapo', clip = 0.2, clipHigh = clip, beta = 0, level = 'token', length, temperature = 1 } = options;
  if ((loss === 'dr') !== (length !== undefined))
    throw new PeftError(
      'bad-option',
      `grpo: length, the most tokens of a completion, is of the loss dr; ${loss === 'dr' ? 'give it' : `leave it out of ${loss}`}`,
    );
  if (clipHigh === 0)
    throw new PeftError('bad-option', 'grpo: clipHigh must be above 0; it is clip where it is left out');
  return Object.assign(
    (views: Views, inputs: Inputs): Loss => {
      const { losses, counted } = views.train().run(inputs).labelLosses({ temperature });
      const rows = losses.shape[0]!;
      const advantages = ofRows(inputs, 'advantages', rows);
      const rewards = ofRows(inputs, 'rewards', rows);
      const { oldLogProbs = stopGradient(neg(losses)) } = inputs;
      if (!sameShape(oldLogProbs.shape, losses.shape))
        throw new PeftError(
          'bad-shape',
          `grpo: oldLogProbs [${oldLogProbs.shape}] are not of the labels [${losses.shape}]`,
        );
      const logProbs = neg(losses);
      const own = sub(logProbs, oldLogProbs);
      const tokens = maximum(sum(counted, { axes: [1], keepDims: true }), 1);
      const ratio = exp(level === 'token' ? own : div(sum(mul(own, counted), { axes: [1], keepDims: true }), tokens));
      const within = minimum(maximum(ratio, 1 - clip), 1 + clipHigh);
      const policy =
        loss === 'cispo'
          ? mul(mul(stopGradient(minimum(ratio, 1 + clipHigh)), advantages), losses)
          : neg(minimum(mul(ratio, advantages), mul(within, advantages)));
      const away = (): Tensor => {
        const d = add(stopGradient(neg(views.base.run(inputs).labelLosses({ temperature }).losses)), losses);
        return mul(sub(sub(exp(d), d), 1), ratio);
      };
      const kl = beta > 0 ? away() : null;
      const all = mul(add(policy, kl ? mul(kl, beta) : number(0)), counted);
      const weight = sum(counted);
      const count = number(rows);
      const total: Loss = {
        dapo: () => ({ sum: sum(all), weight }),
        cispo: () => ({ sum: sum(all), weight }),
        grpo: () => ({ sum: sum(div(sum(all, { axes: [1], keepDims: true }), tokens)), weight: count }),
        dr: () => ({ sum: sum(all), weight: number(rows * length!) }),
      }[loss]();
      // Beyond the clip, on the side where the advantage draws it further.
      const low = mul(greater(number(1 - clip), ratio), greater(number(0), advantages));
      const high = mul(greater(ratio, number(1 + clipHigh)), greater(advantages, number(0)));
      const clipped = loss === 'cispo' ? high : add(low, high);
      return {
        ...total,
        metrics: {
          reward: { sum: sum(rewards), weight: count },
          clipped:
            level === 'token' ? { sum: sum(mul(clipped, counted)), weight } : { sum: sum(clipped), weight: count },
          ...(kl && { kl: { sum: sum(mul(kl, counted)), weight } }),
        },
      };
    },
    { metrics: ['reward', 'clipped', ...(beta > 0 ? ['kl'] : [])], measures: true },
  );
};
