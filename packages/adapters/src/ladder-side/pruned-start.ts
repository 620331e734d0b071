import type { PrepareOptions } from '@peftjs/core';
import { eachGradient } from '@peftjs/core/collect';
import { evaluate, mul, type OnExecutor, PeftError, type Tensor } from '@peftjs/tensor';
import type { Around, AroundTable, Linear, Model, Part, Path, TaskModel } from '@peftjs/transformer';
import { dryRun } from '../dry-run.ts';

/** By what channels are kept: the weights themselves, or their Fisher information. */
export type SidePruning = 'weights' | 'fisher';

/** First values of a side network's tensors, by their names in it. */
export type FirstValues = Readonly<Record<string, Float32Array>>;

/** Numbers of the channels that are kept, ascending. */
type Kept = readonly number[];

/** The `count` rows with the largest sums of magnitudes; of equal ones the later. */
const largestRows = (scores: Float64Array, rows: number, count: number): Kept => {
  const width = scores.length / rows;
  const sums = Array.from({ length: rows }, (_, r) => {
    let sum = 0;
    for (let i = r * width; i < (r + 1) * width; i++) sum += Math.abs(scores[i]!);
    return sum;
  });
  const order = [...sums.keys()].sort((a, b) => sums[a]! - sums[b]! || a - b);
  return order.slice(rows - count).sort((a, b) => a - b);
};

/** Some columns of a matrix of rows of such width. */
const columnsOf = (values: ArrayLike<number>, width: number, kept: Kept): Float64Array => {
  const rows = values.length / width;
  return Float64Array.from({ length: rows * kept.length }, (_, i) => {
    const row = Math.floor(i / kept.length);
    return values[row * width + kept[i % kept.length]!]!;
  });
};

const rowsOf = (values: ArrayLike<number>, width: number, rows: Kept): Float32Array =>
  Float32Array.from(
    { length: rows.length * width },
    (_, i) => values[rows[Math.floor(i / width)]! * width + (i % width)]!,
  );

/** The order in which a block's parts run. */
const orderIn = (model: Model, block: Path): (readonly ['norm' | 'attn' | 'mlp', Path])[] => {
  const order: (readonly ['norm' | 'attn' | 'mlp', Path])[] = [];
  const noting = <S extends 'norm' | 'attn' | 'mlp'>(site: S): ReadonlyMap<Path, readonly Around<S>[]> =>
    new Map(
      model
        .paths(site)
        .filter((path) => path.startsWith(`${block}.`))
        .map((path) => [
          path,
          [
            ((x, next) => {
              order.push([site, path]);
              return next(x);
            }) as Around<'norm'> as unknown as Around<S>,
          ],
        ]),
    );
  const around: AroundTable = { norm: noting('norm'), attn: noting('attn'), mlp: noting('mlp') };
  dryRun(model.with({ around }));
  return order;
};

/** Values of layers on the host, and what their channels are weighed by. */
interface Sources {
  weight(path: Path): Promise<readonly [values: Float32Array, bias: Float32Array | null]>;
  importance(path: Path): Promise<Float32Array>;
}

const valuesOf = async (t: Tensor, { executor }: OnExecutor): Promise<Float32Array> =>
  (await evaluate({ t }, { executor }))['t'] as Float32Array;

const sourcesOf = async (
  model: TaskModel,
  by: SidePruning,
  paths: readonly Path[],
  look: PrepareOptions,
): Promise<Sources> => {
  const fisher = new Map<Path, Float32Array>();
  if (by === 'fisher') {
    if (look.data.length === 0)
      throw new PeftError(
        'bad-option',
        'ladderSide: Fisher information is told by examples; give prepare at least one batch of them',
      );
    await eachGradient(
      'ladderSide',
      model,
      paths,
      look,
      (path, sum) => void fisher.set(path, sum),
      (g) => mul(g, g),
    );
  }
  const weight: Sources['weight'] = async (path) => {
    const { weight: w, bias } = model.linears.get(path)!.dense();
    return [await valuesOf(w, look), bias && (await valuesOf(bias, look))];
  };
  return { weight, importance: async (path) => fisher.get(path) ?? (await weight(path))[0] };
};

/**
 * First values of a side network's layers: rows and columns of the base's, by structural pruning without a residual. The channels of the stream that are kept are at first those of the embeddings with the largest L1 norm;
 * then each layer keeps the columns of what goes into it, and the rows with the largest L1 norm of what is left: of queries, keys and values (gate and up) of the product of theirs where they are of one size. Norms keep the channels that
 * they are given, biases those of their rows. `by` 'fisher' takes squared gradients in the place of weights, but for the embeddings.
 */
export const prunedStart = async (
  model: TaskModel,
  side: Model,
  beside: readonly Path[],
  by: SidePruning,
  look: PrepareOptions,
): Promise<FirstValues> => {
  const first: Record<string, Float32Array> = {};
  const ofBlock = (parts: readonly Part[], block: Path): readonly Part[] =>
    parts.filter(({ path }) => path.startsWith(`${block}.`));
  const parts = model.parts(['query', 'key', 'value', 'attn-out', 'gate', 'up', 'down']);
  const narrowParts = side.parts(['query', 'key', 'value', 'attn-out', 'gate', 'up', 'down']);
  const sources = await sourcesOf(model, by, [...new Set(parts.map(({ path }) => path))], look);
  const blocks = model.paths('block');
  const narrowBlocks = side.paths('block');
  const { tokenTable, hiddenSize: d } = model.main;
  const patch = model.parts(['patch'])[0];
  const table =
    tokenTable && model.embeddings.get(tokenTable)!.dim === d
      ? await valuesOf(model.embeddings.get(tokenTable)!.weight, look)
      : null;
  const byChannel = table
    ? Float64Array.from(
        { length: table.length },
        (_, i) => table[(i % (table.length / d)) * d + Math.floor(i / (table.length / d))]!,
      )
    : patch
      ? Float64Array.from((await sources.weight(patch.path))[0])
      : new Float64Array(d).fill(1);
  let stream = largestRows(byChannel, d, side.main.hiddenSize);
  /** The channels that the last norm gave. */
  let normed = stream;
  const size = (role: string): number => ofBlock(narrowParts, narrowBlocks[0]!).find((p) => p.role === role)!.size;
  /** Prunes layers that read the same channels; gives the rows that each keeps. */
  const prune = async (block: Path, roles: readonly string[], read: Kept): Promise<ReadonlyMap<string, Kept>> => {
    const own = ofBlock(parts, block).filter(({ role }) => roles.includes(role));
    const left = new Map<string, Float64Array>();
    for (const { path, role, start, size: rows } of own) {
      const width = model.linears.get(path)!.inDim;
      const all = (await sources.importance(path)).subarray(start * width, (start + rows) * width);
      left.set(role, columnsOf(all, width, read));
    }
    const alike = new Set(own.map((p) => p.size)).size === 1;
    const product = alike ? [...left.values()].reduce((a, b) => a.map((v, i) => v * b[i]!)) : null;
    const kept = new Map(
      own.map(({ role, size: rows }) => [role, largestRows(product ?? left.get(role)!, rows, size(role))]),
    );
    const at = beside.indexOf(block);
    if (at < 0) return kept;
    for (const { path, role, start } of own) {
      const width = model.linears.get(path)!.inDim;
      const [values, bias] = await sources.weight(path);
      const rows = kept.get(role)!.map((row) => start + row);
      const name = path.replace(block, narrowBlocks[at]!);
      const narrow = side.linears.get(name)! as Linear;
      const part = ofBlock(narrowParts, narrowBlocks[at]!).find((p) => p.role === role)!;
      const into = (first[`${name}.weight`] ??= new Float32Array(narrow.outDim * narrow.inDim));
      const taken = columnsOf(rowsOf(values, width, rows), width, read);
      into.set(Float32Array.from(taken), part.start * narrow.inDim);
      if (bias) (first[`${name}.bias`] ??= new Float32Array(narrow.outDim)).set(rowsOf(bias, 1, rows), part.start);
    }
    return kept;
  };
  const normFrom = async (path: Path, name: Path): Promise<void> => {
    const norm = model.norms.get(path)!;
    if (norm.dim !== d) return; // of heads: it begins as norms do
    normed = stream;
    if (!side.norms.has(name)) return;
    first[`${name}.weight`] = rowsOf(await valuesOf(norm.weight, look), 1, stream);
    if (norm.bias) first[`${name}.bias`] = rowsOf(await valuesOf(norm.bias, look), 1, stream);
  };
  for (const block of blocks) {
    const at = beside.indexOf(block);
    for (const [site, path] of orderIn(model, block)) {
      if (site === 'norm') await normFrom(path, at < 0 ? '' : path.replace(block, narrowBlocks[at]!));
      if (site === 'attn') {
        const inner = await prune(block, ['query', 'key', 'value'], normed);
        stream = (await prune(block, ['attn-out'], inner.get('query')!)).get('attn-out')!;
      }
      if (site === 'mlp') {
        const inner = await prune(block, ['gate', 'up'], normed);
        stream = (await prune(block, ['down'], inner.get('up')!)).get('down')!;
      }
    }
  }
  const outer = [...side.norms.keys()].filter((path) => !narrowBlocks.some((block) => path.startsWith(`${block}.`)));
  for (const path of outer) if (model.norms.has(path)) await normFrom(path, path);
  return first;
};
