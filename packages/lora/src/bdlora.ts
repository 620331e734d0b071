import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type Init,
  kaimingUniform,
  type MethodFactory,
  type Option,
  type Scope,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import { constant, matmul, mul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { type LoraOptions, loraOptions, rankAndScaleOf } from './low-rank.ts';
import { variantConfig, variantFiles } from './variant-files.ts';

/** Options of `bdlora`. */
export interface BdloraOptions extends LoraOptions {
  /** Blocks n of each block-diagonal factor: the number of devices that serve the model. Default 1. */
  readonly blocks?: number;
  /** Parts of paths of the layers whose A is of blocks: those that devices share by inputs (`o_proj`, `down_proj`). Default: none. */
  readonly blockedA?: readonly string[];
  /** Parts of paths of the layers whose B is of blocks: those that devices share by outputs (`q_proj`, `up_proj`). Default: none. */
  readonly blockedB?: readonly string[];
  /** Whether each adapted layer must be in one of the two; else one in neither has an ordinary LoRA. Default true. */
  readonly strict?: boolean;
}

const parts = (key: string): Option<readonly string[]> => ({
  key,
  fallback: () => [],
  expected: 'a list of parts of paths',
  accepts: (v) => Array.isArray(v) && v.every((part) => typeof part === 'string' && part !== ''),
});

/** A factor of shape [rows, columns]: whole, or the blocks of its diagonal one above the other, [rows, columns/n]. */
interface Factor {
  /** [..., columns] -> [..., rows] */
  apply(x: Tensor): Tensor;
  /** [rows, columns] */
  whole(): Tensor;
}

const wholeFactor = (w: Tensor): Factor => ({ apply: (x) => matmul(x, w, { transposeB: true }), whole: () => w });

const blocks = (w: Tensor, n: number): Factor => {
  const [rows, width] = w.shape as readonly [number, number];
  const height = rows / n;
  return {
    apply: (x) => {
      const columns = transpose(reshape(x, [-1, n, width]), [1, 0, 2]); // [n, tokens, width]
      const each = matmul(columns, reshape(w, [n, height, width]), { transposeB: true }); // [n, tokens, height]
      return reshape(transpose(each, [1, 0, 2]), [...x.shape.slice(0, -1), rows]);
    },
    whole: () => {
      const diagonal = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
      const spread = mul(reshape(w, [n, height, 1, width]), constant(diagonal, [n, 1, n, 1]));
      return reshape(spread, [rows, n * width]);
    },
  };
};

/** The lists that name a layer. Throws `bad-option` for both, and for neither where that is not allowed. */
const blockedIn = (
  path: Path,
  { blockedA, blockedB, strict }: { blockedA: readonly string[]; blockedB: readonly string[]; strict: boolean },
): { readonly a: boolean; readonly b: boolean } => {
  const named = (list: readonly string[]): boolean => list.some((part) => path.includes(part));
  const [a, b] = [named(blockedA), named(blockedB)];
  if (a && b)
    throw new PeftError(
      'bad-option',
      `bdlora: ${path} is named by blockedA and by blockedB; one factor of it can be of blocks`,
    );
  if (!a && !b && strict)
    throw new PeftError(
      'bad-option',
      `bdlora: ${path} is named neither by blockedA nor by blockedB; name it, or give strict: false to leave it an ordinary LoRA`,
    );
  return { a, b };
};

/**
 * BD-LoRA: y = Wx + (alpha/r)·B·A·dropout(x), where A of some layers and B of others is block-diagonal, n blocks of [r/n, in/n] or [out/n, r/n], so that devices
 * which share a model serve many adapters without waiting for each other. Files hold the blocks one above the other: [r, in/n], [out, r/n]. A of blocks is from
 * U(−√(6n/in), √(6n/in)), B is zero at the start. Merges. Throws as `lora`, and `bad-option` for sides that n does not divide and layers that
 * the lists don't fit.
 * Wang et al., 2025. https://arxiv.org/abs/2510.23346
 */
export const bdlora: MethodFactory<BdloraOptions> = defineMethod<BdloraOptions>({
  name: 'bdlora',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      blocks: count('use_bdlora.nblocks', 1),
      blockedA: parts('use_bdlora.target_modules_bd_a'),
      blockedB: parts('use_bdlora.target_modules_bd_b'),
      strict: flag('use_bdlora.match_strict', true),
    },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'bdlora', (base, own, path) => {
        const { rank, scale } = rankAndScaleOf(path, options);
        const { blocks: n, dropout } = options;
        const blocked = blockedIn(path, options);
        const factor = (name: string, [rows, columns]: [number, number], of: boolean, init: Init): Factor => {
          const make = (scopeOf: Scope, width: number): Tensor => scopeOf.param(name, [rows, width], init);
          if (!of) return wholeFactor(make(own, columns));
          if (rows % n === 0 && columns % n === 0) return blocks(make(own, columns / n), n);
          throw new PeftError(
            'bad-option',
            `bdlora: ${path}: blocks ${n} does not divide ${name}, ${rows} × ${columns}`,
          );
        };
        const { inDim, outDim } = base;
        const a = factor(
          'lora_A.weight',
          [rank, inDim],
          blocked.a,
          blocked.a ? uniform(Math.sqrt((6 * n) / inDim)) : kaimingUniform,
        );
        const b = factor('lora_B.weight', [outDim, rank], blocked.b, zeros);
        return addDelta(base, {
          apply: (x) => b.apply(mul(a.apply(own.dropout(x, dropout)), scale)),
          dense: () => mul(matmul(b.whole(), a.whole()), scale),
        });
      }),
  },
  files: { ...variantFiles('bdlora', 'use_bdlora'), config: variantConfig },
  card: {
    about: 'low-rank updates with a block-diagonal factor',
    paper: {
      authors: 'Wang et al.',
      year: 2025,
      title: 'Block-Diagonal LoRA for Eliminating Communication Overhead in Tensor Parallel LoRA Serving',
      url: 'https://arxiv.org/abs/2510.23346',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
