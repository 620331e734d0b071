import { stopGradient, type Tensor } from '@peftjs/tensor';
import { denseLinear, type Path, type TaskModel } from '@peftjs/transformer';

/** A view of a model whose layers at these paths have weights of their own, by which a loss can be differentiated. */
export interface OwnWeights {
  readonly view: TaskModel;
  /** [outDim, inDim] each, in the order of the paths. */
  readonly weights: readonly Tensor[];
}

/** Layers as plain floats, `change(weight, path)` instead of each weight: other tensors than the base's own, since a tied head shares its weight with the embedding. */
export const withWeights = (
  model: TaskModel,
  paths: readonly Path[],
  change: (weight: Tensor, path: Path) => Tensor = stopGradient,
): OwnWeights => {
  const dense = paths.map((path) => model.linears.get(path)!.dense());
  const weights = dense.map(({ weight }, i) => change(weight, paths[i]!));
  const linears = new Map(paths.map((path, i) => [path, denseLinear({ ...dense[i]!, weight: weights[i]! })]));
  return { view: model.with({ linears }), weights };
};
