import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  type MethodFactory,
  number,
  rate,
  type Target,
  targeted,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import { matmul, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';

/** Options of `vera`. */
export interface VeraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the shared projections, large since it costs r trained values a layer. Default 256. */
  readonly rank?: number;
  /** First value of λ_d. Default 0.1. */
  readonly initialScale?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

const first = (t: Tensor, axis: number, end: number): Tensor =>
  end === t.shape[axis] ? t : slice(t, { axis, start: 0, end });

/** U(−√(6/fanIn), √(6/fanIn)): `kaiming_uniform_` as Hugging Face PEFT draws the projections. */
const heUniform = (fanIn: number): ReturnType<typeof uniform> => uniform(Math.sqrt(6 / fanIn));

/**
 * VeRA: y = Wx + λ_b∘B(λ_d∘(A·dropout(x))). A [rank, in] and B [out, rank] are random, frozen and shared by all layers, which take the first
 * columns and rows of a pair as large as the largest needs; trained are λ_d [rank], 0.1 at first, and λ_b [out], zero at first. Nothing of
 * shape [out, in] is formed. Merges. The projections are saved with the adapter, as other random generators than ours would draw others: a
 * file without them throws `bad-adapter`. Throws `bad-option`, and when attached `no-match`.
 * Kopiczko, Blankevoort & Asano, 2023. https://arxiv.org/abs/2310.11454
 */
export const vera: MethodFactory<VeraOptions> = defineMethod<VeraOptions>({
  name: 'vera',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 256),
      initialScale: number('d_initial', 0.1),
      dropout: rate('vera_dropout', 0),
      bias: biases('vera'),
    },
    attach: (model, scope, { target, rank, initialScale, dropout }) => {
      const layers = targeted(model.linears.keys(), target, 'vera').map((path) => model.linears.get(path)!);
      const [mostIn, mostOut] = [Math.max(...layers.map((l) => l.inDim)), Math.max(...layers.map((l) => l.outDim))];
      const sharedA = scope.buffer('vera_A', [rank, mostIn], heUniform(mostIn));
      const sharedB = scope.buffer('vera_B', [mostOut, rank], heUniform(rank));
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
    refuses: ({ save_projection: saved }) =>
      saved === false
        ? "save_projection is false, so the projections are not in the file, and torch's random generator is not here to draw them again; save it with save_projection=True"
        : null,
    config: (model) => ({
      ...fanInFanOut(model),
      init_weights: true,
      projection_prng_key: 0,
      save_projection: true,
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
  },
});
