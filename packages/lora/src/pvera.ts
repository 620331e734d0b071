import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  flag,
  type MethodFactory,
  normalNoise,
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { add, exp, matmul, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';
import { first, sharedProjections } from './shared-projections.ts';

/** Options of `pvera`. */
export interface PveraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the shared projections, large since it costs 2r trained values a layer. Default 256. */
  readonly rank?: number;
  /** Of torch's generator, which draws the projections as Hugging Face PEFT does. Default 0. */
  readonly seed?: number;
  /** Whether the projections are saved with the adapter; else they are drawn again when it is loaded. Default true. */
  readonly saveProjections?: boolean;
  /** First value of λ_d. Default 0.1. */
  readonly initialScale?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * PVeRA: y = Wx + λ_b∘B·z with z drawn from N(μ, diag(σ²)) while training and μ itself in evaluation, where [μ, log σ²] = λ_d∘(A·dropout(x)). A [2·rank, in] and B [out, rank] are random,
 * frozen and shared by all layers, as in VeRA; trained are λ_d [2·rank], 0.1 at first, and λ_b [out], zero at first. Nothing of shape [out, in] is formed. Merges, into the mean. A file that
 * draws in evaluation too (`sample_at_inference`) is refused. Throws `bad-option`, and when attached `no-match`.
 * Fillioux et al., 2025. https://arxiv.org/abs/2512.07703
 */
export const pvera: MethodFactory<PveraOptions> = defineMethod<PveraOptions>({
  name: 'pvera',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 256),
      seed: wholeNumber('projection_prng_key', 0),
      saveProjections: flag('save_projection', true),
      initialScale: number('d_initial', 0.1),
      dropout: rate('pvera_dropout', 0),
      bias: biases('pvera'),
    },
    attach: (model, scope, { target, rank, seed, saveProjections, initialScale, dropout }) => {
      const [sharedA, sharedB] = sharedProjections(model, scope, target, {
        name: 'pvera',
        rows: 2 * rank,
        columns: rank,
        seed,
        saved: saveProjections,
      });
      return eachLinear(model, scope, target, 'pvera', (base, own) => {
        const [a, b] = [first(sharedA, 1, base.inDim), first(sharedB, 0, base.outDim)];
        const d = own.param('pvera_lambda_d', [2 * rank], filled(initialScale));
        const gains = own.param('pvera_lambda_b', [base.outDim], zeros);
        const half = (which: 0 | 1, x: Tensor): Tensor => {
          const range = { start: which * rank, end: (which + 1) * rank };
          const low = matmul(x, slice(a, { axis: 0, ...range }), { transposeB: true });
          return mul(low, slice(d, { axis: 0, ...range })); // [..., rank]
        };
        return addDelta(base, {
          apply: (x) => {
            const kept = own.dropout(x, dropout);
            const mean = half(0, kept);
            const drawn = normalNoise(own, mean.shape);
            const z = drawn ? add(mean, mul(drawn, exp(mul(half(1, kept), 0.5)))) : mean;
            return mul(matmul(z, b, { transposeB: true }), gains);
          },
          dense: () => {
            const scaled = mul(first(a, 0, rank), reshape(first(d, 0, rank), [rank, 1]));
            return mul(matmul(b, scaled), reshape(gains, [base.outDim, 1]));
          },
        });
      });
    },
  },
  files: {
    peftType: 'PVERA',
    computes: { sample_at_inference: [false] },
    config: (model) => ({ ...fanInFanOut(model), init_weights: true, sample_at_inference: false }),
    keys: { pvera_A: 'base_model.pvera_A', pvera_B: 'base_model.pvera_B' },
  },
  card: {
    about: 'scales of shared random projections, with noise while training',
    paper: {
      authors: 'Fillioux et al.',
      year: 2025,
      title: 'PVeRA: Probabilistic Vector-Based Random Matrix Adaptation',
      url: 'https://arxiv.org/abs/2512.07703',
    },
    learningRate: 1e-3,
    narrowRate: 1e-1,
  },
});
