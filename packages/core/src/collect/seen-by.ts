import type { Tensor } from '@peftjs/tensor';
import type { Call, Inputs, Linear, Path, TaskModel } from '@peftjs/transformer';

/** The inputs of linear layers in a pass: `of` each input x [batch, rows, in], by the path of the layer. */
export const seenBy = <T>(
  model: TaskModel,
  paths: readonly Path[],
  inputs: Inputs,
  of: (x: Tensor, layer: Linear, call: Call) => T,
): ReadonlyMap<Path, T> => {
  const seen = new Map<Path, T>();
  const watched = paths.map((path): [Path, Linear] => {
    const layer = model.linears.get(path)!;
    const apply: Linear['apply'] = (x, call) => {
      seen.set(path, of(x, layer, call));
      return layer.apply(x, call);
    };
    return [path, { ...layer, apply }];
  });
  model.with({ linears: new Map(watched) }).outputs(inputs);
  return seen;
};
