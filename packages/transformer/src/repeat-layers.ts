import { PeftError, shown } from '@peftjs/tensor';
import type { Forward } from './forward.ts';
import type { Model } from './model.ts';
import type { Parts } from './parts.ts';
import { requireModel } from './require-model.ts';
import type { Path, PathTable } from './sites.ts';
import { layerOf, type TowerSpec } from './tower-spec.ts';

/** Layers from `start` up to, but not, `end`. */
export type LayerRange = readonly [start: number, end: number];

/** The numbers of the layers that ranges name, one after the other. Throws `bad-option`. */
const layersIn = (ranges: readonly LayerRange[], count: number): readonly number[] => {
  const isRange = (range: unknown): boolean =>
    Array.isArray(range) &&
    range.length === 2 &&
    range.every(Number.isSafeInteger) &&
    range[0] >= 0 &&
    range[0] < range[1] &&
    range[1] <= count;
  if (!Array.isArray(ranges) || ranges.length === 0 || !ranges.every(isRange))
    throw new PeftError(
      'bad-option',
      `repeatLayers: ranges must be pairs [start, end] of layers, 0 ≤ start < end ≤ ${count}, got ${shown(ranges)}`,
    );
  return ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
};

/** A path within a block as that within another; any other path as it is. */
const moved = (path: Path, from: Path, to: Path): Path =>
  path === from || path.startsWith(`${from}.`) ? to + path.slice(from.length) : path;

/** The blocks of a tower that repeats some: of each the block that it is, and its own path. */
interface Repeated {
  readonly layers: readonly number[];
  readonly from: readonly Path[];
  readonly to: readonly Path[];
}

const repeatedOf = ({ paths }: TowerSpec, ranges: readonly LayerRange[]): Repeated => {
  const blocks = paths.block ?? [];
  const layers = layersIn(ranges, blocks.length);
  return {
    layers,
    from: layers.map((layer) => blocks[layer]!),
    to: layers.map((_, i) => blocks[0]!.replace(/\d+$/, `${i}`)),
  };
};

/** Entries in their order, those of blocks again for each block that is one of them. */
const repeatedEntries = <T>(
  entries: readonly (readonly [path: Path, value: T])[],
  spec: TowerSpec,
  { from, to }: Repeated,
): readonly (readonly [path: Path, value: T])[] => {
  const isWithin = ([path]: readonly [Path, T]): boolean => layerOf(spec, path) !== null;
  const first = entries.findIndex(isWithin);
  if (first < 0) return entries;
  const within = from.flatMap((block, i) =>
    entries.flatMap(([path, value]) => {
      const own = moved(path, block, to[i]!);
      return path === block || path.startsWith(`${block}.`) ? [[own, value] as const] : [];
    }),
  );
  const outside = (part: typeof entries): typeof entries => part.filter((entry) => !isWithin(entry));
  return [...entries.slice(0, first), ...within, ...outside(entries.slice(first))];
};

/** A pass whose paths within one block are those of another, which is told anew for each layer. */
const passAt = (forward: Forward, here: (path: Path) => Path): Forward => ({
  ...forward,
  at: (site, path, core, stream) => forward.at(site, here(path), core, stream),
  linear: (path, x) => forward.linear(here(path), x),
  norm: (path, x) => forward.norm(here(path), x),
  experts: (path, x, index) => forward.experts(here(path), x, index),
  embedding: (path, ids) => forward.embedding(here(path), ids),
  weights: (path) => forward.weights(here(path)),
  attend: (path, q, own, options) => forward.attend(here(path), q, own, options),
});

/** A tower whose blocks are those of ranges, each computed as in its place. */
const repeatedTower = (spec: TowerSpec, repeated: Repeated): TowerSpec => {
  const { layers, from, to } = repeated;
  const paths = Object.fromEntries(
    Object.entries(spec.paths).map(([site, all]) => [
      site,
      repeatedEntries(
        all.map((path) => [path, path] as const),
        spec,
        repeated,
      ).map(([path]) => path),
    ]),
  ) as PathTable;
  const { order: _, ...own } = spec;
  return {
    ...own,
    paths,
    layers: (forward) => {
      let at = 0;
      const layer = spec.layers(passAt(forward, (path) => moved(path, from[at]!, to[at]!)));
      return (x, number) => {
        at = number;
        return layer(x, layers[number]!);
      };
    },
  };
};

/** A tower and its layers with ranges of its blocks in place of all. Throws `bad-option`. */
export const withRepeated = (
  towers: readonly TowerSpec[],
  parts: Parts,
  ranges: readonly LayerRange[],
): { readonly tower: TowerSpec; readonly parts: Parts } => {
  const [spec] = towers as readonly [TowerSpec];
  if (towers.length > 1 || spec.after || spec.order?.some((block, i) => block !== i))
    throw new PeftError(
      'bad-option',
      'repeatLayers: is for models of one tower whose blocks are alike and run once, such as Llama, BERT and GPT-2',
    );
  const wrapped = Object.entries(parts.around).filter(([, table]) => table.size > 0);
  if (wrapped.length > 0)
    throw new PeftError(
      'bad-option',
      `repeatLayers: the model has something of a method around ${wrapped.map(([site]) => site).join(', ')}; repeat the layers of the base, and attach the method then`,
    );
  const repeated = repeatedOf(spec, ranges);
  const all = <T>(map: ReadonlyMap<Path, T>): ReadonlyMap<Path, T> =>
    new Map(repeatedEntries([...map], spec, repeated));
  return {
    tower: repeatedTower(spec, repeated),
    parts: {
      ...parts,
      linears: all(parts.linears),
      norms: all(parts.norms),
      embeddings: all(parts.embeddings),
      experts: all(parts.experts),
    },
  };
};

/**
 * A model whose layers are those of ranges, one after the other: `[[0, 4], [2, 5]]` makes 0, 1, 2, 3, 2, 3, 4 of five. Layers that stand several times share their weights, and compute as they do in
 * their place; each has a path of its own, so that methods adapt it by itself. Hugging Face PEFT's `layer_replication`, which `load` reads by itself and `save` writes. Its weights are not saved. Throws
 * `bad-option` for ranges that there are not, and for a model of several towers or of blocks of unlike width.
 */
export const repeatLayers = <M extends Model>(model: M, ranges: readonly LayerRange[]): M => {
  requireModel('repeatLayers', model);
  return model.repeat(ranges);
};
