import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  ones,
  rate,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  constant,
  gather,
  greaterEqual,
  matmul,
  mul,
  PeftError,
  reshape,
  select,
  slice,
  sub,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { cayley, identity } from './cayley.ts';
import { fanInFanOut } from './peft-config.ts';

/** Options of `boft`. */
export interface BoftOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Inputs n that are turned together, which divide the layer's. Default 4. */
  readonly blockSize?: number;
  /** Number of blocks in place of their size. Default 0: the size says it. */
  readonly blocks?: number;
  /** Factors m of the rotation, each of blocks over other inputs; with two or more, n and the number of blocks are even. 30 at most. Default 1. */
  readonly factors?: number;
  /** Probability that a block is left out while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The order of inputs in a factor: in chunks of 2ⁱ blocks, the even halves of blocks come first, then the odd. */
const butterfly = (inDim: number, n: number, factor: number): Int32Array => {
  const [half, chunk] = [n / 2, n * 2 ** factor];
  const halves = Array.from({ length: chunk / half }, (_, i) => i);
  const order = [...halves.filter((i) => i % 2 === 0), ...halves.filter((i) => i % 2 === 1)];
  return Int32Array.from({ length: inDim }, (_, i) => {
    const within = i % chunk;
    return i - within + order[Math.floor(within / half)]! * half + (within % half);
  });
};

const inverseOf = (order: Int32Array): Int32Array => {
  const back = new Int32Array(order.length);
  for (const [i, at] of order.entries()) back[at] = i;
  return back;
};

/** The values of each row in another order. */
const ordered = (rows: Tensor, order: Int32Array): Tensor =>
  transpose(gather(transpose(rows), constant(order, [order.length])));

/** The side of a block, or an error that says why there is none. */
const sideOf = (path: Path, inDim: number, blockSize: number, blocks: number, factors: number): number => {
  const n = blocks > 0 ? inDim / blocks : blockSize;
  const refused = (why: string): PeftError => new PeftError('bad-option', `boft: ${path}: ${why}`);
  if (!Number.isInteger(n) || inDim % n !== 0)
    throw refused(
      `${blocks > 0 ? `blocks ${blocks}` : `blockSize ${blockSize}`} does not divide its ${inDim} inputs; give one that does`,
    );
  if (factors > 1 && (n % 2 !== 0 || inDim % (n * 2 ** (factors - 1)) !== 0))
    throw refused(
      `${factors} factors of blocks of ${n} need an even size and ${inDim} inputs that ${n * 2 ** (factors - 1)} divides; give fewer factors or another size`,
    );
  return n;
};

/**
 * BOFT: y = s∘(W·Rᵀ·x) + b with R a product of m rotations, each of blocks [n, n] along the diagonal in an order of inputs of its own, as in the butterflies of a fast Fourier transform, so that a few small
 * blocks turn all inputs together. A block is Cayley's (I − Q)(I + Q)⁻¹ with Q = (P − Pᵀ)/2; trained are P [m, in/n, n, n], zero at the start, and s [out, 1], one at the start. x is
 * turned; nothing of shape [in, in] is formed. Hugging Face PEFT computes more than one factor with CUDA alone. `dropout` leaves out each block by itself, PEFT a fixed number of those of one factor. Merges. Throws
 * `bad-option`, also when attached to a layer whose inputs don't fit, and then `no-match`.
 * Liu et al., 2023. https://arxiv.org/abs/2311.06243
 */
export const boft: MethodFactory<BoftOptions> = defineMethod<BoftOptions>({
  name: 'boft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      blockSize: wholeNumber('boft_block_size', 4),
      blocks: wholeNumber('boft_block_num', 0),
      factors: count('boft_n_butterfly_factor', 1),
      dropout: rate('boft_dropout', 0),
      bias: biases('boft'),
    },
    check: ({ blockSize, blocks = 0, factors = 1 }) => {
      if (factors > 30) return `factors must be at most 30, got ${factors}`;
      if (blockSize === 0 && blocks === 0) return 'there are no blocks; give blockSize or blocks';
      return blockSize !== undefined && blockSize > 0 && blocks > 0 ? 'give blockSize or blocks, not both' : null;
    },
    attach: (model, scope, { target, blockSize, blocks, factors, dropout }) =>
      eachLinear(model, scope, target, 'boft', (base, own, path) => {
        const { inDim, outDim } = base;
        const n = sideOf(path, inDim, blockSize, blocks, factors);
        const number = inDim / n;
        const values = own.param('boft_R', [factors, number, n, n], zeros);
        const gains = reshape(own.param('boft_s', [outDim, 1], ones), [outDim]);
        const drawn = dropout > 0 ? own.draw?.([factors, number, 1, 1]) : null;
        /** [number, n, n] each, the first factor first */
        const rotations = (): readonly Tensor[] => {
          const all = reshape(values, [factors * number, n, n]);
          const turns = reshape(cayley(mul(sub(all, transpose(all, [0, 2, 1])), 0.5)), [factors, number, n, n]);
          const kept = drawn ? select(greaterEqual(drawn, dropout), turns, identity(n)) : turns;
          return Array.from({ length: factors }, (_, i) =>
            reshape(slice(kept, { axis: 0, start: i, end: i + 1 }), [number, n, n]),
          );
        };
        /** Rows times R, or times its transpose where it is `back`. */
        const turned = (x: Tensor, back: boolean): Tensor => {
          const one = (rows: Tensor, turn: Tensor, factor: number): Tensor => {
            const order = butterfly(inDim, n, factor);
            const moved = factor > 0 ? ordered(rows, inverseOf(order)) : rows;
            const byBlock = transpose(reshape(moved, [-1, number, n]), [1, 0, 2]);
            const out = reshape(transpose(matmul(byBlock, turn, { transposeB: back }), [1, 0, 2]), [-1, inDim]);
            return factor > 0 ? ordered(out, order) : out;
          };
          const rows = reshape(x, [-1, inDim]);
          return reshape(back ? rotations().reduce(one, rows) : rotations().reduceRight(one, rows), x.shape);
        };
        return {
          ...base,
          apply: (x, call) => {
            const y = base.apply(turned(x, false), call);
            const { bias } = base.dense();
            return bias ? add(mul(sub(y, bias), gains), bias) : mul(y, gains);
          },
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: mul(turned(weight, true), reshape(gains, [outDim, 1])), bias };
          },
        };
      }),
  },
  files: { peftType: 'BOFT', config: (model) => ({ ...fanInFanOut(model), init_weights: true }) },
  card: {
    about: 'weights turned by butterflies of small rotations, outputs scaled',
    paper: {
      authors: 'Liu et al.',
      year: 2023,
      title: 'Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization',
      url: 'https://arxiv.org/abs/2311.06243',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
