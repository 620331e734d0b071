import type { PrepareOptions } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Part, Path, TaskModel } from '@peftjs/transformer';
import { chooseLargestOf } from '../masked/choose-largest.ts';
import { eachChange } from '../masked/each-change.ts';
import type { Mask } from '../masked/mask.ts';
import type { TunedFor } from '../masked/tune.ts';

/** The MLP of a block: its nodes are rows of the parts before its nonlinearity, and columns of the layer after it. */
export interface Mlp {
  /** Rows of gate and up, one for each node. */
  readonly rows: readonly Part[];
  /** The path of down. */
  readonly columns: Path;
  readonly nodes: number;
}

/** The MLPs of a model's blocks, by the block. Throws `no-match` where there is none. */
export const mlpsOf = (model: Model): ReadonlyMap<Path, Mlp> => {
  const parts = model.parts(['gate', 'up', 'down']);
  const found = new Map<Path, Mlp>();
  for (const block of model.paths('block')) {
    const own = parts.filter(({ path }) => path.startsWith(`${block}.`));
    const [rows, down] = [own.filter(({ role }) => role !== 'down'), own.filter(({ role }) => role === 'down')];
    const nodes = model.linears.get(down[0]?.path ?? '')?.inDim;
    if (down.length === 1 && rows.length > 0 && rows.every(({ size }) => size === nodes))
      found.set(block, { rows, columns: down[0]!.path, nodes: nodes! });
  }
  if (found.size === 0)
    throw new PeftError('no-match', 'far: the model has no MLP of two layers or three whose nodes could be told apart');
  return found;
};

/**
 * The nodes that learn most: of the share `keep` of all nodes those whose weights have the largest L1 norm of their change, when all weights of the MLPs are tuned for a time. Throws `diverged`.
 */
export const learnersOf = async (
  model: TaskModel,
  keep: number,
  time: TunedFor,
  look: PrepareOptions,
): Promise<Mask> => {
  const mlps = mlpsOf(model);
  const norms = new Map([...mlps].map(([block, { nodes }]) => [block, new Float64Array(nodes)]));
  const paths = [
    ...new Set([...mlps.values()].flatMap(({ rows, columns }) => [...rows.map(({ path }) => path), columns])),
  ];
  await eachChange('far', model, paths, look, time, (path, change) => {
    const width = model.linears.get(path)!.inDim;
    for (const [block, { rows, columns }] of mlps) {
      const norm = norms.get(block)!;
      if (path === columns) change.forEach((c, i) => void (norm[i % width]! += Math.abs(c)));
      for (const { start, size } of rows.filter((part) => part.path === path))
        for (let i = start * width; i < (start + size) * width; i++)
          norm[Math.floor(i / width) - start]! += Math.abs(change[i]!);
    }
  });
  return chooseLargestOf(norms, keep);
};
