import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { matmul, mul, reshape, type Variable } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { type Freezable, freezable, freeze, gatherScores, holdFrozen } from './freezing.ts';

/** Options of `afLora`. */
export interface AfLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 4. */
  readonly rank?: number;
  /** First value of d. Default 0.1, as in VeRA. */
  readonly initial?: number;
  /** Steps of the training. Default 1000. */
  readonly steps?: number;
  /** Steps before the first matrix is frozen. Default 0. */
  readonly warmup?: number;
  /** Steps at the end in which all are frozen. Default 0. */
  readonly final?: number;
  /** Steps from one decision to the next. Default 10. */
  readonly interval?: number;
  /** Decay of the average of a gradient's magnitude, and of its uncertainty. Default 0.85 each, as in AdaLoRA. */
  readonly beta1?: number;
  readonly beta2?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * AFLoRA: y = Wx + b∘B·(d∘(A·dropout(x))), A [rank, in] and B [out, rank] from U(−1/√fanIn, 1/√fanIn), vectors d [rank], `initial` at the start, and b [out], zero. All are
 * trained at first; then matrices A and B of all layers are frozen one after the other, those first whose score is least, the mean of an average of |g|
 * times its uncertainty, while d and b go on. The share that is frozen grows from 0 after `warmup` steps to 1 by 1 − (1 − t)³; training must have as many steps as
 * `steps` says. Every step gathers the scores on the device; the host reads one number a matrix when it decides. Merges. Throws as `lora`.
 * Liu, Kundu, Li, Wan, Jiang & Beerel, 2024. https://arxiv.org/abs/2403.13269. Read were its abstract and summaries; where they are silent, AdaLoRA and
 * VeRA, on which it builds, gave the constants: no code was published.
 */
export const afLora: MethodFactory<AfLoraOptions> = defineMethod<AfLoraOptions>({
  name: 'afLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 4),
      initial: number('d_initial', 0.1),
      steps: count('total_step', 1000),
      warmup: wholeNumber('tinit', 0),
      final: wholeNumber('tfinal', 0),
      interval: count('deltaT', 10),
      beta1: rate('beta1', 0.85),
      beta2: rate('beta2', 0.85),
      dropout: rate('aflora_dropout', 0),
      bias: biases('afLora'),
    },
    check: ({ steps = 1000, warmup = 0, final = 0 }) =>
      warmup < steps - final ? null : `warmup ${warmup} and final ${final} leave none of ${steps} steps between them`,
    attach: (model, scope, options) => {
      const { target, rank, initial, dropout } = options;
      const matrices = new Map<Variable, Freezable>();
      const patch = eachLinear(model, scope, target, 'afLora', (base, own) => {
        const { inDim, outDim } = base;
        const a = own.param('aflora_A', [rank, inDim], kaimingUniform);
        const b = own.param('aflora_B', [outDim, rank], kaimingUniform);
        const d = own.param('aflora_lambda_d', [rank], filled(initial));
        const up = own.param('aflora_lambda_b', [outDim], zeros);
        for (const [name, matrix] of [
          ['aflora_A', a],
          ['aflora_B', b],
        ] as const)
          matrices.set(matrix, freezable(own, name, matrix));
        return addDelta(base, {
          apply: (x) => {
            const low = mul(matmul(own.dropout(x, dropout), a, { transposeB: true }), d); // [..., rank]
            return mul(matmul(low, b, { transposeB: true }), up);
          },
          dense: () => mul(matmul(mul(b, d), a), reshape(up, [outDim, 1])),
        });
      });
      return {
        ...patch,
        project: holdFrozen(matrices),
        statistics: (step) => gatherScores(matrices, step, options),
        decision: freeze(matrices, options),
      };
    },
  },
  files: { peftType: 'PEFTJS_AFLORA' },
  card: {
    about: 'low-rank updates whose matrices are frozen one by one, their scales trained to the end',
    paper: {
      authors: 'Liu et al.',
      year: 2024,
      title: 'AFLoRA: Adaptive Freezing of Low Rank Adaptation in Parameter Efficient Fine-Tuning of Large Models',
      url: 'https://arxiv.org/abs/2403.13269',
    },
    learningRate: 4e-3,
    narrowRate: 3.2e-2,
  },
});
