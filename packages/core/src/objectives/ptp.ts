import { grad } from '@peftjs/autograd';
import {
  add,
  checkOptions,
  maximum,
  minimum,
  mul,
  mustBe,
  type Rules,
  rsqrt,
  stopGradient,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { addLosses, type Inputs, meanOf, type TaskModel } from '@peftjs/transformer';
import { normalNoise } from '../normal-noise.ts';
import { type Objective, supervised, type Views } from '../objective.ts';
import { reportingAs, shiftedTokens, trainingAs } from './shifted-tokens.ts';

/** Options of `ptp`. */
export interface PtpOptions {
  /** δ: `random`, of the normal distribution, drawn anew in every pass; or `adversarial`, which makes the loss large. */
  readonly kind: 'random' | 'adversarial';
  /** σ of random noise; or ε, the greatest length of a sequence's δ [tokens, d] as one vector. In the units of the embedding's values. */
  readonly size: number;
  /** Steps of the ascent, each one more forward and backward pass. Default 3. */
  readonly steps?: number;
  /** The length of a step. Default `size` / 2. */
  readonly stepSize?: number;
  /** λ, the weight of the moved text's loss. Default 1. */
  readonly weight?: number;
  /** The objective whose loss both are. Default: the task's own loss. */
  readonly objective?: Objective;
}

const rules: Rules<PtpOptions> = {
  kind: mustBe.given(mustBe.oneOf(['random', 'adversarial'])),
  size: mustBe.given(mustBe.positive),
  steps: mustBe.count,
  stepSize: mustBe.positive,
  weight: mustBe.notNegative,
  objective: mustBe.fn,
};

/** Σx² of each sequence [..., tokens, d]: [..., 1, 1]. */
const squareOf = (x: Tensor): Tensor => sum(mul(x, x), { axes: [-2, -1], keepDims: true });

/** δ after a step along a gradient: the length of the step is `by`, and no sequence's δ gets longer than `most`. */
const ascended = (delta: Tensor | null, gradient: Tensor, by: number, most: number): Tensor => {
  const step = mul(mul(gradient, rsqrt(maximum(squareOf(gradient), 1e-30))), by);
  const moved = delta ? add(delta, step) : step;
  return stopGradient(mul(moved, minimum(mul(rsqrt(maximum(squareOf(moved), 1e-30)), most), 1)));
};

/**
 * PTP, prompt tuning with a perturbation-based regulariser, for any method: L(x) + λ·L(x + δ), x the embedded tokens; rows that prompts put in front have no δ. Random: δ from N(0, σ²) of each value. Adversarial: projected gradient ascent, from δ = 0, δ ← Π(δ + α·g/‖g‖) with g the
 * gradient of the loss by δ and Π the nearest δ of length ε, a sequence at a time; no gradient goes through δ. Losses of both passes draw their own dropout.
 * Both noises at embeddings and the training on both texts are the paper's; sizes and steps were not in what was to be had of it, hence `size` has no default, and the sum, the length by sequence and the start at 0 are chosen here. Its noise in words, masked or replaced, is a matter of data. Throws `bad-option`.
 * Chen, Chen, Huang & Cheng, 2023. https://arxiv.org/abs/2305.02423; the ascent: Madry et al., 2017. https://arxiv.org/abs/1706.06083
 */
export const ptp = (options: PtpOptions): Objective => {
  checkOptions('ptp', rules, options);
  const { kind, size, steps = 3, stepSize = size / 2, weight = 1, objective = supervised as Objective } = options;

  /** The objective over tokens that are moved, and the rows that it saw, by table and turn. */
  const moved = (views: Views, inputs: Inputs, deltaOf: (rows: Tensor, key: string) => Tensor | null) => {
    const seen = new Map<string, Tensor>();
    const train = (): TaskModel =>
      shiftedTokens(views.train(), (rows, path) => {
        const key = `${path} ${seen.size}`;
        const delta = deltaOf(rows, key);
        const at = delta ? add(rows, delta) : rows;
        seen.set(key, at);
        return at;
      });
    return { loss: objective(trainingAs(views, train), inputs), seen };
  };

  const worst = (views: Views, inputs: Inputs): ReadonlyMap<string, Tensor> => {
    let deltas = new Map<string, Tensor>();
    for (let step = 0; step < steps; step++) {
      const { loss, seen } = moved(views, inputs, (_, key) => deltas.get(key) ?? null);
      const gradients = grad(meanOf(loss), [...seen.values()]);
      deltas = new Map(
        [...seen.keys()].map((key, i) => [key, ascended(deltas.get(key) ?? null, gradients[i]!, stepSize, size)]),
      );
    }
    return deltas;
  };

  return reportingAs(objective, (views, inputs) => {
    if (kind === 'random' && !views.draw) return objective(views, inputs);
    const deltas = kind === 'adversarial' ? worst(views, inputs) : null;
    const noise = ({ shape }: Tensor): Tensor | null => {
      const drawn = normalNoise(views, shape);
      return drawn && mul(drawn, size);
    };
    const { loss } = moved(views, inputs, (rows, key) => (deltas ? deltas.get(key)! : noise(rows)));
    return addLosses(objective(views, inputs), loss, weight);
  });
};
