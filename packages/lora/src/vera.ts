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
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { matmul, mul, reshape } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';
import { first, sharedProjections } from './shared-projections.ts';

/** Options of `vera`. */
export interface VeraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the shared projections, large since it costs r trained values a layer. Default 256. */
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
 * VeRA: y = Wx + λ_b∘B(λ_d∘(A·dropout(x))). A [rank, in] and B [out, rank] are random, frozen and shared by all layers, which take the first
 * columns and rows of a pair as large as the largest needs; trained are λ_d [rank], 0.1 at first, and λ_b [out], zero at first. Nothing of
 * shape [out, in] is formed. Merges. The projections are those that torch draws with `seed`, also where a file does not hold them. Throws `bad-option`, and when
 * attached `no-match`.
 * Kopiczko, Blankevoort & Asano, 2023. https://arxiv.org/abs/2310.11454
 */
export const vera: MethodFactory<VeraOptions> = defineMethod<VeraOptions>({
  name: 'vera',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 256),
      seed: wholeNumber('projection_prng_key', 0),
      saveProjections: flag('save_projection', true),
      initialScale: number('d_initial', 0.1),
      dropout: rate('vera_dropout', 0),
      bias: biases('vera'),
    },
    attach: (model, scope, { target, rank, seed, saveProjections, initialScale, dropout }) => {
      const [sharedA, sharedB] = sharedProjections(model, scope, target, {
        name: 'vera',
        rows: rank,
        columns: rank,
        seed,
        saved: saveProjections,
      });
      return eachLinear(model, scope, target, 'vera', (base, own) => {
        const [a, b] = [first(sharedA, 1, base.inDim), first(sharedB, 0, base.outDim)];
        const d = own.param('vera_lambda_d', [rank], filled(initialScale));
        const gains = own.param('vera_lambda_b', [base.outDim], zeros);
        return addDelta(base, {
          apply: (x) => {
            const low = mul(matmul(own.dropout(x, dropout), a, { transposeB: true }), d); // [..., rank]
            return mul(matmul(low, b, { transposeB: true }), gains);
          },
          dense: () => mul(matmul(mul(b, d), a), reshape(gains, [base.outDim, 1])),
        });
      });
    },
  },
  files: {
    peftType: 'VERA',
    config: (model) => ({
      ...fanInFanOut(model),
      init_weights: true,
    }),
    keys: { vera_A: 'base_model.vera_A', vera_B: 'base_model.vera_B' },
  },
  card: {
    about: 'two vectors around shared random projections',
    paper: {
      authors: 'Kopiczko, Blankevoort & Asano',
      year: 2023,
      title: 'VeRA: Vector-based Random Matrix Adaptation',
      url: 'https://arxiv.org/abs/2310.11454',
    },
    learningRate: 4e-3,
    narrowRate: 0.1,
  },
});
