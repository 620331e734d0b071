import {
  attach,
  type Chosen,
  defineMethod,
  type MethodFactory,
  type Option,
  oneOf,
  rate,
  wholeNumber,
} from '@peftjs/core';
import { isAscending } from '@peftjs/core/collect';
import { PeftError } from '@peftjs/tensor';
import { anyPlaceOptions, type BottleneckAdapterOptions, bottleneckAdapter, placeOf } from '../bottleneck-adapter.ts';
import { adapterName, attachBottlenecks, faultOf, shapeFields } from '../define-bottleneck.ts';
import { chooseKept, type Dense, type DenseAdapters, type Kept, type Pruning } from './choose.ts';
import { sparseLinear } from './sparse-linear.ts';

/** Options of `sparseAdapter`: those of `bottleneckAdapter`, and how it is pruned. */
export interface SparseAdapterOptions extends BottleneckAdapterOptions {
  /** The share of the adapters' weights that is left out, in [0, 1). Default 0.4. */
  readonly sparsity?: number;
  /**
   * The weights that stay: those of the largest |θ·∂L/∂θ| (`snip`), of the largest |θ| (`magnitude`), any (`random`); all of these over all
   * adapters together. `erdosRenyi`: any, of each matrix a share that falls with its size. Default snip.
   */
  readonly by?: Pruning;
  /** Seed of the first values and of what is drawn. Default 0. */
  readonly seed?: number;
  /** The entries that stay, by the matrix's name, instead of what `prepare` chooses: `model.layers.0.output_adapters.adapters.default.adapter_up`. */
  readonly kept?: Readonly<Record<string, Kept>>;
}

/** A file's configuration holds how many entries there are, its tensors which. */
const keptOption: Option<Readonly<Record<string, Kept>>> = {
  key: 'entries',
  fallback: () => ({}),
  expected: 'places, ascending, and values by matrix',
  accepts: (v) =>
    typeof v === 'object' &&
    v !== null &&
    Object.values(v as Readonly<Record<string, Kept>>).every(
      (kept) =>
        kept?.places?.length >= 1 &&
        isAscending(kept.places) &&
        (!kept.values || kept.values.length === kept.places.length),
    ),
  toJson: (all) => Object.fromEntries(Object.entries(all).map(([name, { places }]) => [name, places.length])),
  fromJson: (counts) => {
    const entries = Object.entries(counts as object);
    if (!entries.every(([, length]) => Number.isSafeInteger(length) && length >= 1))
      throw new TypeError('must be numbers of entries by matrix');
    return Object.fromEntries(entries.map(([name, length]) => [name, { places: { length } }]));
  },
};

const isMatrix = (name: string): boolean => /\.adapter_(down\.\d+|up)\.weight$/.test(name);

/** The same options without those of pruning, and with the width said in one way. */
const unpruned = (chosen: Chosen<SparseAdapterOptions>): BottleneckAdapterOptions => {
  const { sparsity: _s, by: _b, seed: _d, kept: _k, reduction, bottleneck, ...rest } = chosen;
  return { ...rest, ...(bottleneck ? { bottleneck } : { reduction }) };
};

/**
 * SparseAdapter: bottleneck adapters (`bottleneckAdapter`, in any place) of whose matrices a share `sparsity` is 0 from before training to the
 * end. `prepare` draws the first values, scores them, over all adapters together, and keeps the best; the others are no longer there: k values
 * and k places are trained, moved by the optimiser and saved, so nothing can bring them back. Biases and norms stay. The setting Large-Sparse
 * is a wider bottleneck with a larger `sparsity`. Default: snip, 0.4; the score |θ·∂L/∂θ| is of the sum over the examples. Does not merge.
 * Throws `bad-option`, also when attached before `prepare`, `no-match`, `state-mismatch`. He, Ding, Dong, Zhang & Tao, 2022.
 * https://arxiv.org/abs/2210.04284, with https://github.com/Shwai-He/SparseAdapter, which prunes once by default, over all adapters.
 */
export const sparseAdapter: MethodFactory<SparseAdapterOptions> = defineMethod<SparseAdapterOptions>({
  name: 'sparseAdapter',
  formula: {
    merges: false,
    options: {
      ...anyPlaceOptions,
      sparsity: rate('sparsity', 0.4),
      by: oneOf<Pruning>('pruner', ['snip', 'magnitude', 'random', 'erdosRenyi'], 'snip'),
      seed: wholeNumber('seed', 0),
      kept: keptOption,
    },
    check: (given) => faultOf(given, given.parallel ?? false),
    prepare: async (model, chosen, look) => {
      const { sparsity, by, seed, kept } = chosen;
      if (Object.keys(kept).length > 0) return { kept };
      const adapted = attach(model, [bottleneckAdapter(unpruned(chosen))], { seed });
      const matrices = new Map<string, Dense>();
      for (const [name, variable] of adapted.params)
        if (isMatrix(name))
          matrices.set(name.replace(/\.weight$/, ''), { variable, values: await look.executor.read(variable) });
      const dense: DenseAdapters = { matrices, loss: (inputs) => adapted.model.loss(inputs) };
      try {
        return { kept: await chooseKept('sparseAdapter', by, dense, 1 - sparsity, seed, look) };
      } finally {
        look.executor.release([...adapted.state.values()]);
      }
    },
    attach: (model, scope, chosen) => {
      const { kept } = chosen;
      const left = new Set(Object.keys(kept));
      if (left.size === 0)
        throw new PeftError('bad-option', 'sparseAdapter: no weights are chosen yet; call prepare with examples first');
      const around = attachBottlenecks('sparseAdapter', model, scope, chosen, placeOf(chosen), ({ module }) =>
        sparseLinear('sparseAdapter', (name) => {
          const full = `${module}.${adapterName}.${name}`;
          left.delete(full);
          return kept[full];
        }),
      );
      if (left.size > 0)
        throw new PeftError('no-match', `sparseAdapter: the model gets no adapter with ${[...left].join(', ')}`);
      return { around };
    },
  },
  files: {
    peftType: 'PEFTJS_SPARSE_ADAPTER',
    config: (model, chosen) => shapeFields(model, placeOf(chosen), chosen),
  },
  card: {
    about: 'bottlenecks pruned before training',
    paper: {
      authors: 'He et al.',
      year: 2022,
      title: 'SparseAdapter: An Easy Approach for Improving the Parameter-Efficiency of Adapters',
      url: 'https://arxiv.org/abs/2210.04284',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
