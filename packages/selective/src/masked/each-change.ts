import type { PrepareOptions } from '@peftjs/core';
import { withWeights } from '@peftjs/core/collect';
import { add, type Variable } from '@peftjs/tensor';
import type { Path, TaskModel } from '@peftjs/transformer';
import { type TunedFor, tune, zeroed } from './tune.ts';

/**
 * Tunes the weights of linear layers by AdamW, batch after batch and from the first again, and gives `take` how they have changed, W′ − W [outDim · inDim], layer by layer. The base stays as it is.
 * All layers are tuned at once, so the executor holds twelve bytes a weight, and its gradient. Throws `diverged`.
 */
export const eachChange = async (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  look: PrepareOptions,
  time: TunedFor,
  take: (path: Path, change: Float32Array) => void,
): Promise<void> => {
  const { executor } = look;
  const changes = new Map(
    paths.map((path): [Path, Variable] => {
      const { outDim, inDim } = model.linears.get(path)!;
      return [path, zeroed(`${path}.change`, [outDim, inDim])];
    }),
  );
  const { view } = withWeights(model, paths, (weight, path) => add(weight, changes.get(path)!));
  try {
    await tune(who, (inputs) => view.loss(inputs), [...changes.values()], look, time);
    for (const [path, change] of changes) take(path, (await executor.read(change)) as Float32Array);
  } finally {
    executor.release([...changes.values()]);
  }
};
