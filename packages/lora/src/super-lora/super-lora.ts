import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type MethodFactory,
  number,
  type Option,
  rate,
  type Scope,
  type Target,
  targeted,
  targets,
  wholeNumber,
} from '@peftjs/core';
import { concatAll, matmul, mul, PeftError, reshape, slice, type Tensor } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { fastfood, fitted, shuffled } from '../said/fastfood.ts';
import { type Edges, foldedEdges, kron, matrixEdges, productOf, tucker } from './factors.ts';

/** Options of `superLora`. */
export interface SuperLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Groups G of about as many values each, over all layers' updates one behind the other; null (default): one of each layer's matrix. */
  readonly groups?: number | null;
  /** Order M of the tensors, at most 16: 2 for matrices, which have no core. Default 2. */
  readonly order?: number;
  /** Tensors K of a group, at most 16, whose Kronecker product it is. Default 1. */
  readonly splits?: number;
  /** Rank r of each axis. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Values that a group is made of, as a share of its own: below 1 a fixed random projection makes the group of them. Default 1. */
  readonly share?: number;
  /** Whether a group's values stand in a fixed random order. Default false. */
  readonly shuffle?: boolean;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Of projections and orders. Default 0. */
  readonly seed?: number;
  /** Whether projections and orders are saved; else they are drawn again. Default false. */
  readonly saveProjections?: boolean;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

const groupsOption: Option<number | null> = {
  key: 'groups',
  fallback: () => null,
  expected: 'null or a whole number of at least 1',
  accepts: (v) => v === null || (Number.isSafeInteger(v) && (v as number) >= 1),
};

/** Edges of 2 at order 16, or in 16 tensors, hold 65,536 values: a group is not cut finer. */
const most = 16;

const upTo = (name: string, least: number): Option<number> => ({
  ...count(name, least),
  expected: `a whole number from ${least} to ${most}`,
  accepts: (v) => Number.isSafeInteger(v) && (v as number) >= least && (v as number) <= most,
});

const shareOption: Option<number> = {
  key: 'projection_ratio',
  fallback: () => 1,
  expected: 'a number above 0, at most 1',
  accepts: (v) => typeof v === 'number' && v > 0 && v <= 1,
};

type Sizes = Required<
  Pick<SuperLoraOptions, 'order' | 'splits' | 'rank' | 'share' | 'shuffle' | 'seed' | 'saveProjections'>
>;

/** One group's tensors. */
interface Group {
  /** All its values, in a row. */
  values(): Tensor;
  /** The factors of a plain matrix, B·A; null where it is no such. */
  readonly low: readonly [b: Tensor, a: Tensor] | null;
}

/** A group of so many values, or of a matrix that need not be folded. */
const groupOf = (own: Scope, salt: string, size: number | readonly [number, number], options: Sizes): Group => {
  const { order, splits, rank, share, shuffle, seed, saveProjections: save } = options;
  const length = typeof size === 'number' ? size : size[0] * size[1];
  const inner = Math.ceil(share * length);
  const folds = typeof size === 'number' || order > 2 || inner < length;
  const edges: Edges = folds ? foldedEdges(inner, order, splits) : matrixEdges(size, splits);
  const parts = productOf(own, edges, rank);
  const drawn = { name: 'superlora_F', salt, seed, save };
  const map = inner < length ? fastfood(own, length, drawn) : shuffle ? shuffled(own, length, drawn) : null;
  const values = (): Tensor => {
    const all = parts.map(([core, factors]) => tucker(core, factors)).reduce(kron);
    const flat = fitted(reshape(all, [all.shape.reduce((n, d) => n * d, 1)]), inner);
    return map ? map(flat) : flat;
  };
  const [[core, [b, a]]] = parts as [[Tensor | null, [Tensor, Tensor]]];
  return { values, low: folds || map || core || splits > 1 ? null : [b, a] };
};

/**
 * SuperLoRA: y = Wx + (alpha/r)·ΔW·dropout(x), where the updates of all adapted layers, row by row and one behind the other, are cut into G groups, and each is F(⊗ₖ (Cₖ ×₁ Aₖ₁ … ×_M Aₖ_M)): a Kronecker product of K tensors of order M in Tucker's form, Cₖ [r, …, r], Aₖₘ [d, r], folded to the group.
 * F is nothing, a fixed random order, or with `share` a fixed random projection by Fastfood from fewer values. With a group of each matrix, M = 2, K = 1 it is LoRA, with K = 2 LoKr whose factors both have rank r; M = 3 and more fold a group nearly to a cube. A and C are from PyTorch's uniform distribution, the last tensor's A₁ zero at the start.
 * From the paper's abstract and its public summary are the groups, the product and F; chosen here: matrices have no core, a fold's edges are the least alike numbers that hold the group, what is more is cut off, the scale is LoRA's. Merges. Throws `bad-option`, and when attached `no-match`.
 * Chen, Liu, Wang, Wang, Brand, Wang & Koike-Akino, 2024. https://arxiv.org/abs/2403.11887
 */
export const superLora: MethodFactory<SuperLoraOptions> = defineMethod<SuperLoraOptions>({
  name: 'superLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      groups: groupsOption,
      order: upTo('order', 2),
      splits: upTo('splits', 1),
      rank: count('r', 8),
      alpha: number('lora_alpha', 8),
      share: shareOption,
      shuffle: flag('shuffle', false),
      dropout: rate('lora_dropout', 0),
      seed: wholeNumber('projection_seed', 0),
      saveProjections: flag('save_projection', false),
      bias: biases('superLora'),
    },
    check: ({ share = 1, shuffle = false }) =>
      share < 1 && shuffle ? 'a projection has an order of its own; leave out shuffle or share' : null,
    attach: (model, scope, { target, groups, alpha, dropout, ...sizes }) => {
      const paths = targeted(model.linears.keys(), target, 'superLora');
      const scale = alpha / sizes.rank;
      const starts = new Map<string, number>();
      let total = 0;
      for (const path of paths) {
        const { inDim, outDim } = model.linears.get(path)!;
        starts.set(path, total);
        total += inDim * outDim;
      }
      if (groups !== null && groups > total)
        throw new PeftError(
          'bad-option',
          `superLora: ${groups} groups are more than the ${total} values of the layers`,
        );
      const each = Math.ceil(total / (groups ?? 1));
      const shared =
        groups === null
          ? []
          : Array.from({ length: Math.ceil(total / each) }, (_, g) =>
              groupOf(scope.at(`superlora_groups.${g}`), String(g), Math.min(each, total - g * each), sizes),
            );
      /** The values of some groups that a layer's lie in, from its first on. */
      const among = (start: number, size: number): Tensor => {
        const [first, last] = [Math.floor(start / each), Math.floor((start + size - 1) / each)];
        const values = shared.slice(first, last + 1).map((group) => group.values());
        return slice(concatAll(values, 0), { axis: 0, start: start - first * each, end: start - first * each + size });
      };
      return eachLinear(model, scope, target, 'superLora', (base, own, path) => {
        const { inDim, outDim } = base;
        const group = groups === null ? groupOf(own, path, [outDim, inDim], sizes) : null;
        const delta = (): Tensor =>
          reshape(group ? group.values() : among(starts.get(path)!, outDim * inDim), [outDim, inDim]);
        return addDelta(base, {
          apply: (x) => {
            const kept = own.dropout(x, dropout);
            if (!group?.low) return matmul(kept, mul(delta(), scale), { transposeB: true });
            const [b, a] = group.low;
            return mul(matmul(matmul(kept, a), b, { transposeB: true }), scale);
          },
          dense: () => mul(delta(), scale),
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_SUPERLORA' },
  card: {
    about: "groups of all layers' updates, each a Kronecker product of low-rank tensors",
    paper: {
      authors: 'Chen et al.',
      year: 2024,
      title: 'SuperLoRA: Parameter-Efficient Unified Adaptation of Multi-Layer Attention Modules',
      url: 'https://arxiv.org/abs/2403.11887',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
});
