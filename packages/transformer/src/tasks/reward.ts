import {
  add,
  checkOptions,
  concat,
  constant,
  greater,
  mul,
  mustBe,
  type Rules,
  reshape,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Metric } from '../loss.ts';
import { examplesOf } from './embedding-losses.ts';
import { crossEntropies } from './head-loss.ts';
import { labelNames } from './label-names.ts';
import type { Task } from './task.ts';

/** Options of `reward`. */
export interface RewardOptions {
  /** The weight of (r(chosen) + r(rejected))², which keeps values around 0. Default 0. Eisenstein et al., 2023, https://arxiv.org/abs/2312.09244 */
  readonly centre?: number;
}

const rules: Rules<RewardOptions> = { centre: mustBe.notNegative };

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/** −log σ(x) of each of [n], never overflowing. */
const sigmoidLosses = (x: Tensor): Tensor => {
  const n = x.shape[0]!;
  const zeros = constant(new Float32Array(n), [n, 1]);
  return crossEntropies(concat(reshape(x, [n, 1]), zeros, { axis: 1 }), constant(new Int32Array(n), [n]));
};

/**
 * Telling how good an answer is, one number for a text: what answers are rated by in reinforcement learning. Outputs: [batch, 1]. A pair is two rows that follow one another,
 * the chosen text first, as `preferences(chat, { labels: false })` of `@peftjs/data` makes them; the loss is −log σ(r(chosen) − r(rejected)), plus the weighted square of
 * their sum, over pairs. Reported are `margin` and `accuracy`. The head, over the last token of a decoder, is trained beside every method and saved with its adapter, as
 * a classifier of one label. Computed as TRL 1.16 does. Throws `bad-option`, `bad-shape` for half a pair.
 * Ouyang et al., 2022. https://arxiv.org/abs/2203.02155
 */
export const reward = (options: RewardOptions = {}): Task<Tensor> => {
  checkOptions('reward', rules, options);
  const { centre = 0 } = options;
  return {
    name: 'reward',
    type: 'SEQ_CLS',
    head: 'sequenceClassifier',
    labels: labelNames('reward', 1),
    columns: {},
    metrics: ['margin', 'accuracy'],
    outputs: ({ layer, features, call }) => layer.apply(features, call),
    loss: ({ layer, features, call }) => {
      const rewards = examplesOf(layer.apply(features, call), { name: 'reward', group: 2 });
      const [chosen, rejected] = rewards.map((r) => reshape(r, [-1])) as [Tensor, Tensor];
      const [apart, together] = [sub(chosen, rejected), add(chosen, rejected)];
      const losses = sigmoidLosses(apart);
      const all = centre > 0 ? add(losses, mul(mul(together, together), centre)) : losses;
      const meanOf = (values: Tensor): Metric => ({ sum: sum(values), weight: number(chosen.shape[0]!) });
      return { ...meanOf(all), metrics: { margin: meanOf(apart), accuracy: meanOf(greater(chosen, rejected)) } };
    },
  };
};
