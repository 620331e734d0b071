import type { Examples } from '@peftjs/core';
import { constant, type Tensor } from '@peftjs/tensor';
import type { Linear, Norm, Path, TaskModel } from '@peftjs/transformer';

/** A norm and the layers that read what it gives. */
export interface NormGroup {
  readonly norm: Path;
  readonly layers: readonly Path[];
}

/** A batch as constants. */
export const inputsOf = ({ columns, shapes }: Examples): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [
      name,
      constant(values, shapes[name]!, values instanceof Float32Array ? 'f32' : 'i32'),
    ]),
  );

const keyOf = ({ node, index }: Tensor): string => `${node.id}.${index}`;

/** The norms whose output goes to layers of `paths` and to no other layer, each with those, as a pass over a batch shows. */
export const normGroups = (model: TaskModel, paths: readonly Path[], batch: Examples): readonly NormGroup[] => {
  const [given, read] = [new Map<string, Path>(), new Map<string, Path[]>()];
  const norms = [...model.norms].map(([path, norm]): [Path, Norm] => [
    path,
    {
      ...norm,
      apply: (x, call) => {
        const y = norm.apply(x, call);
        given.set(keyOf(y), path);
        return y;
      },
    },
  ]);
  const linears = [...model.linears].map(([path, layer]): [Path, Linear] => [
    path,
    {
      ...layer,
      apply: (x, call) => {
        read.set(keyOf(x), [...(read.get(keyOf(x)) ?? []), path]);
        return layer.apply(x, call);
      },
    },
  ]);
  model.with({ norms: new Map(norms), linears: new Map(linears) }).outputs(inputsOf(batch));
  return [...given].flatMap(([key, norm]) => {
    const layers = read.get(key) ?? [];
    return layers.length > 0 && layers.every((path) => paths.includes(path)) ? [{ norm, layers }] : [];
  });
};
