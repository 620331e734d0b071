import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type MethodFactory,
  type Option,
  positive,
  rate,
  type Target,
  targeted,
  targets,
  uniform,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { matmul, reshape, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { onceComputed } from './once-computed.ts';
import { fanInFanOut } from './peft-config.ts';
import { torchNormal } from './torch-random.ts';

/** First values of what is trained: none, so that the model begins as it was, or U(−bound, bound). */
export type TinyloraInit = 'zeros' | 'uniform';

/** Options of `tinylora`. */
export interface TinyloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r: singular vectors of a weight; of a smaller one all. Default 2. */
  readonly rank?: number;
  /** Trained values of a layer. Default 64. */
  readonly length?: number;
  /** The share of layers that have no values of their own but those of a neighbour: 0 none, 1 all but one. Default 0. */
  readonly tying?: number;
  /** Of torch's generator, which draws the projections as Hugging Face PEFT does. Default 42. */
  readonly seed?: number;
  /** Whether the projections are saved with the adapter; else they are drawn again when it is loaded. Default true. */
  readonly saveProjections?: boolean;
  /** Default `zeros`. */
  readonly init?: TinyloraInit;
  /** Of the first values, if they are `uniform`. Default 0.02. */
  readonly bound?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

const share: Option<number> = {
  key: 'weight_tying',
  fallback: () => 0,
  expected: 'in [0, 1]',
  accepts: (v) => typeof v === 'number' && v >= 0 && v <= 1,
};

const initOption: Option<TinyloraInit> = {
  key: 'init_weights',
  fallback: () => 'zeros',
  expected: 'one of zeros, uniform',
  accepts: (v) => v === 'zeros' || v === 'uniform',
  toJson: (init) => (init === 'zeros' ? true : init),
  fromJson: (value) => (typeof value === 'boolean' ? 'zeros' : value),
};

/** The nearest whole number; of two the even one, as in Python. */
const rounded = (x: number): number => {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
};

/** The group of the layer at a place among so many: neighbours share, as Hugging Face PEFT counts them. */
const groupOf = (place: number, layers: number, tying: number): number => {
  const groups = Math.max(1, rounded(layers * (1 - tying)));
  return Math.min(Math.floor(place / Math.max(1, Math.floor(layers / groups))), groups - 1);
};

/**
 * TinyLoRA: y = Wx + B·R·A·dropout(x) with R = Σᵢ vᵢ·Pᵢ. A = √S·Vᵀ [r, in] and B = U·√S [out, r] of the r largest singular values of W, and P [length, r, r] random from N(0, 1/r), are frozen; trained are the
 * v [length], which layers may share (`tying`). Nothing of shape [out, in] is formed. A, B and P are saved with the adapter, P only if that is wanted. Merges. Throws `bad-option`,
 * and when attached `no-match`.
 * Morris, Mireshghallah, Ibrahim & Mahloujifar, 2026. https://arxiv.org/abs/2602.04118
 */
export const tinylora: MethodFactory<TinyloraOptions> = defineMethod<TinyloraOptions>({
  name: 'tinylora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 2),
      length: count('u', 64),
      tying: share,
      seed: wholeNumber('projection_seed', 42),
      saveProjections: flag('save_projection', true),
      init: initOption,
      bound: positive('init_v_bound', 0.02),
      dropout: rate('tinylora_dropout', 0),
      bias: biases('tinylora'),
    },
    attach: (model, scope, { target, rank, length, tying, seed, saveProjections, init, bound, dropout }) => {
      const paths = targeted(model.linears.keys(), target, 'tinylora');
      return eachLinear(model, scope, target, 'tinylora', (base, own, path) => {
        const { inDim, outDim } = base;
        const place = paths.indexOf(path);
        const r = Math.min(rank, inDim, outDim);
        const halves = onceComputed(async (compute) => {
          const { balanced } = await import('./algebra/balanced.ts'); // with ml-matrix, which few need
          return balanced(base, r, compute);
        });
        const a = own.buffer('tinylora_A', [r, inDim], async (_, __, compute) => (await halves(compute)).a);
        const b = own.buffer('tinylora_B', [outDim, r], async (_, __, compute) => (await halves(compute)).b);
        const p = own[saveProjections ? 'buffer' : 'running']('tinylora_P', [length, r, r], () =>
          torchNormal(length * r * r, 1 / Math.sqrt(r), seed + place),
        );
        const v = scope.param(
          `tinylora_v.${groupOf(place, paths.length, tying)}`,
          [length],
          init === 'zeros' ? zeros : uniform(bound),
        );
        const mixed = (): Tensor => reshape(matmul(reshape(v, [1, length]), reshape(p, [length, r * r])), [r, r]);
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., r]
            return matmul(matmul(low, mixed(), { transposeB: true }), b, { transposeB: true });
          },
          dense: () => matmul(b, matmul(mixed(), a)),
        });
      });
    },
  },
  files: {
    peftType: 'TINYLORA',
    config: (model) => fanInFanOut(model),
    keys: { 'tinylora_v.': 'base_model.tinylora_v.' },
  },
  card: {
    about: 'a few values that mix random matrices between singular vectors',
    paper: {
      authors: 'Morris et al.',
      year: 2026,
      title: 'Learning to Reason in 13 Parameters',
      url: 'https://arxiv.org/abs/2602.04118',
    },
    learningRate: 5e-4,
    narrowRate: 3.2e-3,
  },
});
