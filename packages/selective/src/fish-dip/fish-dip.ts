import {
  type Between,
  count,
  type Decision,
  defineMethod,
  type Examples,
  eachLinear,
  type GradientTransform,
  type Init,
  type MethodFactory,
  type Option,
  type Projection,
  type Scope,
  type Target,
  targets,
  unscaled,
} from '@peftjs/core';
import { labelledRows, withWeights } from '@peftjs/core/collect';
import { add, compile, mul, select, stopGradient, type Tensor, type Variable } from '@peftjs/tensor';
import type { Linear, Path, TaskModel } from '@peftjs/transformer';
import { share } from '../masked/define-masked.ts';
import { eachMasked } from '../masked/each-masked.ts';
import { type Mask, masks } from '../masked/mask.ts';
import { entriesOf } from '../masked/nonzero.ts';
import { wholeLayer } from '../masked/whole-layer.ts';
import { chooseByHardest } from './hardest.ts';

/** The base and the examples by which weights are chosen, and those that are chosen first. */
export interface FishDipSource {
  readonly model: TaskModel;
  readonly rows: readonly Examples[];
  readonly first: Mask;
}

/** Options of `fishDip`. */
export interface FishDipOptions {
  /** Whose weights may be chosen. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of those weights that is trained at a time, in (0, 1]. Default 0.01. */
  readonly keep?: number;
  /** Steps after which they are chosen anew. Default 100. */
  readonly period?: number;
  /** Examples (rows of the data) that are looked at, at most. Default 1024. */
  readonly samples?: number;
  /** As `prepare` leaves it. */
  readonly source?: FishDipSource | null;
  /** The weights that an earlier training has changed. */
  readonly mask?: Mask;
}

const sourceOption: Option<FishDipSource | null> = {
  key: null,
  fallback: () => null,
  expected: 'what prepare leaves',
  accepts: (v) => v === null || typeof v === 'object',
};

/** A layer whose weights are trained some at a time. */
interface Open {
  readonly change: Variable;
  /** [outDim, inDim]: 1 for weights that are trained now. */
  readonly open: Variable;
}

const ones = (places: ArrayLike<number>, size: number): Float32Array => {
  const values = new Float32Array(size);
  for (const place of Array.from(places)) values[place] = 1;
  return values;
};

/** Without an example to choose by, all weights are trained. */
const openInit = (places: ArrayLike<number> | undefined, known: boolean, { outDim, inDim }: Linear): Init => {
  const size = outDim * inDim;
  return () => (known ? ones(places ?? [], size) : new Float32Array(size).fill(1));
};

const openLayer = (
  base: Linear,
  own: Scope,
  places: ArrayLike<number> | undefined,
  known: boolean,
): Open & { readonly layer: Linear } => {
  const { layer, change } = wholeLayer(base, own);
  return { layer, change, open: own.running('weight_open', change.shape, openInit(places, known, base)) };
};

/** Other gradients than those of open weights are none, so that the optimiser's moments know nothing of them. */
const masked = (layers: ReadonlyMap<Path, Open>): GradientTransform => ({
  name: 'fishDip',
  update: (gradients) => {
    const values = new Map<Variable, Tensor>(unscaled(gradients));
    for (const { change, open } of layers.values()) {
      const gradient = values.get(change);
      if (gradient) values.set(change, mul(gradient, open));
    }
    return { values, state: [] };
  },
});

/** Weights that were open before stay as they are, momentum notwithstanding. */
const held =
  (layers: ReadonlyMap<Path, Open>): Projection =>
  (updated) =>
    [...layers.values()].map(({ change, open }) => [change, select(open, updated(change), change)]);

const redrawn = (
  layers: ReadonlyMap<Path, Open>,
  { model, rows }: FishDipSource,
  { keep, period }: { readonly keep: number; readonly period: number },
): Decision => ({
  due: (step) => step % period === 0,
  run: async (_step, between: Between) => {
    const paths = [...layers.keys()];
    const now = (weight: Tensor, path: Path): Tensor => stopGradient(add(weight, layers.get(path)!.change));
    const present = () => withWeights(model, paths, now);
    const mask = await chooseByHardest({ model, paths, present, compile: between.compile }, rows, keep);
    for (const [path, { open }] of layers)
      await between.write(open, ones(mask[path] ?? [], open.shape[0]! * open.shape[1]!));
  },
});

/**
 * Fish-DIP: W' = W + Δ of which a step moves the share `keep` of all weights that have the largest squared gradients over the hardest examples; after every `period` steps they are chosen anew, by the model as it is then. The
 * hardest are a tenth of the examples that `prepare` was given, three at least and 25 at most, those of the largest loss. What was changed stays changed, so more than that share may differ in the end: saved are the weights that do,
 * k values and k places, and loaded again they alone are trained. Training holds Δ [out, in] of each layer. Without `prepare` all weights move. Biases, norms and embeddings are not chosen from. Merges. Throws as `fishMask`.
 * Das et al., 2023. https://arxiv.org/abs/2311.03748. As the authors' code has it, https://github.com/psunlpgroup/FISH-DIP
 */
export const fishDip: MethodFactory<FishDipOptions> = defineMethod<FishDipOptions>({
  name: 'fishDip',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      keep: share('keep_ratio', 0.01),
      period: count('period', 100),
      samples: count('samples', 1024),
      source: sourceOption,
      mask: masks,
    },
    prepare: async (model, { target, keep, samples }, { executor, data }) => {
      const paths = target as readonly Path[]; // as a method is given them
      const rows = labelledRows('fishDip', data, samples);
      const present = () => withWeights(model, paths);
      const first = await chooseByHardest(
        { model, paths, present, compile: (spec) => compile(spec, { executor }) },
        rows,
        keep,
      );
      return { source: { model, rows, first } };
    },
    compact: async (_model, options, state) => {
      const { mask, state: left } = entriesOf(state, 'weight_change', (_path, _place, change) => change !== 0);
      return Object.keys(mask).length > 0
        ? { method: fishDip({ ...options, mask }), state: left }
        : { method: fishDip(options), state };
    },
    attach: (model, scope, { target, source, mask, ...how }) => {
      if (Object.keys(mask).length > 0) return eachMasked('fishDip', model, scope, mask);
      const layers = new Map<Path, Open>();
      const patch = eachLinear(model, scope, target, 'fishDip', (base, own, path) => {
        const { layer, ...open } = openLayer(base, own, source?.first[path], source !== null);
        layers.set(path, open);
        return layer;
      });
      return {
        ...patch,
        transform: masked(layers),
        project: held(layers),
        ...(source && { decision: redrawn(layers, source, how) }),
      };
    },
  },
  files: { peftType: 'PEFTJS_FISH_DIP' },
  card: {
    about: 'the weights of most Fisher information of the hardest examples, chosen anew by period',
    paper: {
      authors: 'Das et al.',
      year: 2023,
      title: 'Unified Low-Resource Sequence Labeling by Sample-Aware Dynamic Sparse Finetuning',
      url: 'https://arxiv.org/abs/2311.03748',
    },
    learningRate: 1e-3,
    narrowRate: 3e-3,
  },
});
