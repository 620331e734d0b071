import {
  add,
  checkOptions,
  div,
  maximum,
  mul,
  mustBe,
  PeftError,
  type Rule,
  type Rules,
  sigmoid,
  stopGradient,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import type { Objective } from '../objective.ts';
import { logSigmoid } from './log-sigmoid.ts';
import { pairObjective } from './pair-objective.ts';
import { inPairs, rowLogProbs } from './row-log-probs.ts';

/** One pair's log-ratios by the model and the base, [pairs] each, and what is chosen of a loss. */
interface Ratios {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
  /** β · (chosen − rejected). */
  readonly margin: Tensor;
  /** The same of means over tokens, without β. */
  readonly meanMargin: Tensor;
  readonly beta: number;
  /** ε. */
  readonly smoothing: number;
}

const square = (x: Tensor): Tensor => mul(x, x);
const negative = (x: Tensor): Tensor => mul(x, -1);

/** −(1 − ε)·log σ(x) − ε·log σ(−x). */
export const smoothedSigmoidLoss = (x: Tensor, smoothing: number): Tensor =>
  smoothing === 0
    ? negative(logSigmoid(x))
    : negative(add(mul(logSigmoid(x), 1 - smoothing), mul(logSigmoid(negative(x)), smoothing)));

const losses = {
  sigmoid: ({ margin, smoothing }: Ratios): Tensor => smoothedSigmoidLoss(margin, smoothing),
  hinge: ({ margin }: Ratios): Tensor => maximum(sub(1, margin), 0),
  ipo: ({ meanMargin, beta }: Ratios): Tensor => square(sub(meanMargin, 1 / (2 * beta))),
  robust: ({ margin, smoothing }: Ratios): Tensor =>
    div(sub(mul(logSigmoid(negative(margin)), smoothing), mul(logSigmoid(margin), 1 - smoothing)), 1 - 2 * smoothing),
  exo: ({ margin, smoothing }: Ratios): Tensor => {
    const part = (x: Tensor, share: number): Tensor => mul(sigmoid(x), sub(logSigmoid(x), Math.log(share)));
    return add(part(margin, 1 - smoothing), part(negative(margin), smoothing));
  },
  nca: ({ chosen, rejected, beta }: Ratios): Tensor => {
    const away = (x: Tensor): Tensor => mul(logSigmoid(mul(x, -beta)), 0.5);
    return negative(add(logSigmoid(mul(chosen, beta)), add(away(chosen), away(rejected))));
  },
  bco: ({ chosen, rejected, beta }: Ratios): Tensor =>
    negative(add(logSigmoid(mul(chosen, beta)), logSigmoid(mul(rejected, -beta)))),
  sppo: ({ chosen, rejected, beta }: Ratios): Tensor =>
    add(square(sub(chosen, 0.5 / beta)), square(add(rejected, 0.5 / beta))),
  apoZero: ({ chosen, rejected, beta }: Ratios): Tensor =>
    add(sigmoid(mul(chosen, -beta)), sigmoid(mul(rejected, beta))),
  apoDown: ({ chosen, margin, beta }: Ratios): Tensor => add(sigmoid(mul(chosen, beta)), sigmoid(negative(margin))),
  sigmoidNorm: ({ meanMargin, beta }: Ratios): Tensor => negative(logSigmoid(mul(meanMargin, beta))),
};

/** A loss of pairs with a reference. */
export type DpoLoss = keyof typeof losses;

/** Options of `dpo`. */
export interface DpoOptions {
  /** β, how much it costs to leave the base. Default 0.1. */
  readonly beta?: number;
  /** Default `sigmoid`, DPO itself. */
  readonly loss?: DpoLoss;
  /** ε, the share of pairs that were labelled the wrong way round: of `sigmoid`, `robust` (below 0.5) and `exo` (above 0). Default 0; 0.001 of `exo`. */
  readonly labelSmoothing?: number;
}

const smoothed: readonly DpoLoss[] = ['sigmoid', 'robust', 'exo'];
const half: Rule = mustBe.such('in [0, 0.5)', (v) => typeof v === 'number' && v >= 0 && v < 0.5);
const rules: Rules<DpoOptions> = {
  beta: mustBe.positive,
  loss: mustBe.oneOf(Object.keys(losses)),
  labelSmoothing: half,
};

/**
 * Direct preference optimisation: of two completions of a prompt the chosen one is to become likelier than the rejected one, compared with the base without the
 * adapter, which needs no second copy. With the log-ratio h(y) = log π(y|x) − log π_base(y|x), summed over the completion's tokens, and
 * Δ = β·(h(chosen) − h(rejected)), the loss of a pair is by `loss`:
 *
 * - `sigmoid`: −(1 − ε)·log σ(Δ) − ε·log σ(−Δ). Rafailov et al., 2023, https://arxiv.org/abs/2305.18290; with ε Mitchell, 2023 (cDPO)
 * - `hinge`: max(0, 1 − Δ). Zhao et al., 2023 (SLiC), https://arxiv.org/abs/2305.10425
 * - `ipo`: (h̄(chosen) − h̄(rejected) − 1/(2β))², h̄ a mean over tokens. Azar et al., 2023, https://arxiv.org/abs/2310.12036
 * - `robust`: (−(1 − ε)·log σ(Δ) + ε·log σ(−Δ)) / (1 − 2ε). Chowdhury, Kini & Natarajan, 2024, https://arxiv.org/abs/2403.00409
 * - `exo`: KL of (σ(Δ), σ(−Δ)) from (1 − ε, ε). Ji et al., 2024, https://arxiv.org/abs/2402.00856
 * - `nca`: −log σ(βh(chosen)) − ½ Σ log σ(−βh). Chen et al., 2024, https://arxiv.org/abs/2402.05369
 * - `bco`: −log σ(βh(chosen)) − log σ(−βh(rejected)), without the paper's moving shift. Jung et al., 2024, https://arxiv.org/abs/2404.04656
 * - `sppo`: (h(chosen) − 1/(2β))² + (h(rejected) + 1/(2β))². Wu et al., 2024, https://arxiv.org/abs/2405.00675
 * - `apoZero`: σ(−βh(chosen)) + σ(βh(rejected)); `apoDown`: σ(βh(chosen)) + σ(−Δ). D'Oosterlinck et al., 2024, https://arxiv.org/abs/2408.06266
 * - `sigmoidNorm`: −log σ(β·(h̄(chosen) − h̄(rejected)))
 *
 * A pair is two rows that follow one another, the chosen one first, as `preferences` of `@peftjs/data` makes them; `labels` are of completions alone. The loss is
 * a mean over pairs. Reported are `margin` (Δ), `accuracy` (Δ > 0), rewards β·h and log-probabilities. Each loss is computed as TRL 1.16 does. Throws
 * `bad-option`, `bad-shape` for half a pair.
 */
export const dpo = (options: DpoOptions = {}): Objective => {
  checkOptions('dpo', rules, options);
  const { beta = 0.1, loss = 'sigmoid', labelSmoothing } = options;
  const smoothing = labelSmoothing ?? (loss === 'exo' ? 0.001 : 0);
  if (smoothing !== 0 && !smoothed.includes(loss))
    throw new PeftError(
      'bad-option',
      `dpo: labelSmoothing is of the losses ${smoothed.join(', ')}, not of ${loss}; leave it out`,
    );
  if (loss === 'exo' && smoothing === 0)
    throw new PeftError('bad-option', 'dpo: labelSmoothing of the loss exo must be above 0; give 0.001');
  return pairObjective('dpo', beta, (views, inputs) => {
    const { sums, counts } = rowLogProbs(views.train().run(inputs).labelLosses());
    const scores = sub(sums, stopGradient(rowLogProbs(views.base.run(inputs).labelLosses()).sums));
    const [chosen, rejected] = inPairs('dpo', scores);
    const [meanChosen, meanRejected] = inPairs('dpo', div(scores, counts));
    const margin = mul(sub(chosen, rejected), beta);
    const meanMargin = sub(meanChosen, meanRejected);
    return {
      losses: losses[loss]({ chosen, rejected, margin, meanMargin, beta, smoothing }),
      logProbs: sums,
      scores,
    };
  });
};
