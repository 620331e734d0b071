import {
  type Chosen,
  defineMethod,
  type MethodCard,
  type MethodFactory,
  type Option,
  type OptionTable,
  type Patch,
  type PrepareOptions,
  type Target,
  targets,
} from '@peftjs/core';
import type { Variable } from '@peftjs/tensor';
import type { Path, TaskModel } from '@peftjs/transformer';
import { eachMasked } from './each-masked.ts';
import { type Mask, masks } from './mask.ts';
import type { SparseNames } from './sparse-layer.ts';

/** Options that all methods have which train some entries of weights. */
export interface MaskedOptions {
  /** Whose weights may be chosen. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of those weights that is trained, in (0, 1]. */
  readonly keep?: number;
  /** The weights themselves, instead of those that `prepare` chooses. */
  readonly mask?: Mask;
}

/** A method that trains some entries of weights: what is its own. */
export interface MaskedDef<O extends Omit<MaskedOptions, 'keep'>> {
  readonly name: string;
  /** The share that is trained, unless said otherwise; none where it is not said by a share. */
  readonly keep?: number;
  /** Options beside those of all. */
  readonly options: OptionTable<Omit<O, keyof MaskedOptions>>;
  /** The weights that are trained, chosen among the linear layers of some paths. */
  choose(model: TaskModel, paths: readonly Path[], options: Chosen<O>, look: PrepareOptions): Promise<Mask>;
  /** Whether `prepare` looks at the weights alone. Default: at data too. */
  readonly needsData?: false;
  /** Its part in training, given the values that are trained, by path: there once a view is made. */
  beside?(values: ReadonlyMap<Path, Variable>, options: Chosen<O>): Patch;
  readonly peftType: string;
  /** Default `sparse_values` and `sparse_index`. */
  readonly names?: SparseNames;
  readonly card: MethodCard;
}

/** A share of weights. */
export const share = (key: string, fallback: number): Option<number> => ({
  key,
  fallback: () => fallback,
  expected: 'in (0, 1]',
  accepts: (v) => typeof v === 'number' && v > 0 && v <= 1,
});

/**
 * A method that is W' = W + S, S zero but for entries that `choose` finds before training, which are trained, from 0. Saved are k values and k places. It works over a base of any storage format, and
 * no gradient of W is formed in a training step (`sparseMatmul`). It merges.
 */
export const defineMasked = <O extends Omit<MaskedOptions, 'keep'>>(def: MaskedDef<O>): MethodFactory<O> => {
  const { name, keep, choose, needsData, beside, peftType, names, card } = def;
  const own = {
    target: targets('target_modules', 'all-linear'),
    ...(keep !== undefined && { keep: share('keep_ratio', keep) }),
    mask: masks,
  };
  return defineMethod<O>({
    name,
    formula: {
      merges: true,
      options: { ...own, ...def.options } as unknown as OptionTable<O>,
      ...(needsData === false && { needsData }),
      prepare: async (model, options, look) => {
        const { target, mask } = options as unknown as Chosen<MaskedOptions>;
        const paths = target as readonly Path[]; // as a method is given them
        return { mask: Object.keys(mask).length > 0 ? mask : await choose(model, paths, options, look) } as O;
      },
      attach: (model, scope, options) => {
        const { mask } = options as unknown as Chosen<MaskedOptions>;
        const values = new Map<Path, Variable>();
        const patch = eachMasked(name, model, scope, mask, {
          ...(names && { names }),
          take: (path, of) => values.set(path, of),
        });
        return { ...patch, ...beside?.(values, options) };
      },
    },
    files: { peftType },
    card,
  });
};
