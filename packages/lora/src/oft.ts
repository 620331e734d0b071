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
  type Patch,
  positive,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  div,
  matmul,
  maximum,
  mul,
  reshape,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
  transpose,
  type Variable,
} from '@peftjs/tensor';
import { cayley } from './cayley.ts';
import { fanInFanOut } from './peft-config.ts';
import { mostTerms, rotation, skew } from './skew.ts';

/** Options of `oft`. */
export interface OftOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Inputs that are turned together; where it does not divide the layer's, the nearest that does is taken, the smaller of two. Default 32. */
  readonly blockSize?: number;
  /** Number of blocks in place of their size, in the same way. Default 0: the size says it. */
  readonly blocks?: number;
  /** Whether all blocks of a layer share one rotation. Default false. */
  readonly shared?: boolean;
  /** Terms of the series that stands for the inverse, 100 at most. Default 5. */
  readonly terms?: number;
  /** Whether the inverse is taken in place of the series. Default false. */
  readonly exact?: boolean;
  /** Whether rotations are kept near to none (COFT): the norm of each Q, as a matrix, stays below bound/√blocks. Default false. */
  readonly constrained?: boolean;
  /** Of the norms, with `constrained`. Default 6e-5. */
  readonly bound?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The divisor of `size` nearest to a number, as Hugging Face PEFT finds it. */
const nearestDivisor = (size: number, wanted: number): number => {
  if (wanted >= size) return size;
  let [up, down] = [wanted, wanted];
  while (size % up !== 0) up++;
  while (size % down !== 0) down--;
  return wanted - down <= up - wanted ? down : up;
};

/** The values of each block, scaled down until the norm of its Q is at most `most`. */
const project = (values: Tensor, most: number): Tensor => {
  const norms = sqrt(mul(sum(mul(values, values), { axes: [1], keepDims: true }), 2));
  return mul(values, div(most, maximum(norms, most)));
};

/** In files it says whether the series is taken. */
const exactOption: Option<boolean> = {
  ...flag('use_cayley_neumann', false),
  toJson: (exact) => !exact,
  fromJson: (value) => (typeof value === 'boolean' ? !value : value),
};

/**
 * OFT: y = W·R·x + b with R of blocks along the diagonal, each a rotation (I − Q)⁻¹(I + Q) of a skew-symmetric Q (Cayley's form), so W keeps its angles and
 * lengths up to the error of a series of `terms` that stands for the inverse; with `exact` of the inverse itself, and then, as in Hugging Face PEFT, the other way about: (I − Q)(I + Q)⁻¹. Trained are the values of Q above the diagonal, [blocks, n·(n − 1)/2], zero at the start. x is
 * turned; nothing of shape [out, in] is formed. With `constrained` a Q that a step took over its bound is put back there, and its gradient is that of a free one. `module_dropout` of a file does nothing to linear layers, in Hugging Face PEFT too. Merges. Throws `bad-option`,
 * and when attached `no-match`.
 * Qiu et al., 2023. https://arxiv.org/abs/2306.07280 The series: Qiu et al., 2025 (OFTv2). https://arxiv.org/abs/2506.19847
 */
export const oft: MethodFactory<OftOptions> = defineMethod<OftOptions>({
  name: 'oft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      blockSize: wholeNumber('oft_block_size', 32),
      blocks: wholeNumber('r', 0),
      shared: flag('block_share', false),
      terms: count('num_cayley_neumann_terms', 5),
      exact: exactOption,
      constrained: flag('coft', false),
      bound: positive('eps', 6e-5),
      bias: biases('oft'),
    },
    check: ({ blockSize, blocks = 0, terms = 0 }) => {
      if (terms > mostTerms) return `terms must be at most ${mostTerms}, got ${terms}`;
      if (blockSize === 0 && blocks === 0) return 'there are no blocks; give blockSize or blocks';
      return blockSize !== undefined && blockSize > 0 && blocks > 0 ? 'give blockSize or blocks, not both' : null;
    },
    attach: (model, scope, { target, blockSize, blocks, shared, terms, exact, constrained, bound }) => {
      /** Trained values, and themselves within the bound. */
      const bounded = new Map<Variable, (values: Tensor) => Tensor>();
      const patch = eachLinear(model, scope, target, 'oft', (base, own) => {
        const { inDim } = base;
        const n = blocks > 0 ? inDim / nearestDivisor(inDim, blocks) : nearestDivisor(inDim, blockSize);
        const number = inDim / n;
        const free = own.param('oft_R.weight', [shared ? 1 : number, (n * (n - 1)) / 2], zeros);
        const near = (values: Tensor): Tensor => project(values, bound / Math.sqrt(free.shape[0]!));
        if (constrained) bounded.set(free, near);
        const values = constrained ? add(free, stopGradient(sub(near(free), free))) : free;
        const turns = exact ? cayley(skew(values, n)) : rotation(skew(values, n), terms); // [number or 1, n, n]
        /** Each block of the last axis through its matrix: rows as columns of R where it is `back`. */
        const turn = (x: Tensor, back: boolean): Tensor => {
          const rows = reshape(x, [-1, number, n]);
          const turned = matmul(transpose(rows, [1, 0, 2]), turns, { transposeB: back });
          return reshape(transpose(turned, [1, 0, 2]), x.shape);
        };
        return {
          ...base,
          apply: (x, call) => base.apply(turn(x, false), call),
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: turn(weight, true), bias };
          },
        };
      });
      if (!constrained) return patch;
      // A file may hold values that were not put back yet: steps go from where they would be.
      const statistics: NonNullable<Patch['statistics']> = ({ updated }) =>
        [...bounded].map(([free, near]) => [free, near(add(near(free), sub(updated(free), free)))]);
      return { ...patch, statistics };
    },
  },
  files: {
    peftType: 'OFT',
    config: (model, { blocks, blockSize }) => ({
      ...fanInFanOut(model),
      oft_block_size: blocks > 0 ? 0 : blockSize,
      init_weights: true,
    }),
  },
  card: {
    about: 'weights turned by blocks of rotations',
    paper: {
      authors: 'Qiu et al.',
      year: 2023,
      title: 'Controlling Text-to-Image Diffusion by Orthogonal Finetuning',
      url: 'https://arxiv.org/abs/2306.07280',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
});
