import { mul, type Tensor, variable } from '@peftjs/tensor';
import type { Dense, Linear } from '@peftjs/transformer';
import { hostFloats } from '../host-floats.ts';

/** Columns of a matrix times a factor each. */
export const timesColumns = (values: Float32Array, factors: Float32Array): Float32Array =>
  values.map((v, i) => v * factors[i % factors.length]!);

/** A layer of which `base` holds the columns times `scales`: its inputs are divided by them. */
export const scaledLinear = (base: Linear, scales: Float32Array, name: string): Linear => {
  const inverse: Tensor = variable(
    `${name}.inverse_scales`,
    [scales.length],
    scales.map((s) => 1 / s),
  );
  return {
    inDim: base.inDim,
    outDim: base.outDim,
    // Of another width it goes on as it is: `base` tells of it, where a product would spread a single column.
    apply: (x, call) => base.apply(x.shape.at(-1) === scales.length ? mul(x, inverse) : x, call),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: mul(weight, inverse), bias };
    },
    encode: ({ weight, bias }: Dense) => {
      const load = hostFloats('encode', name, weight);
      const scaled = variable(`${name}.scaled`, weight.shape, async () => timesColumns(await load(), scales));
      return scaledLinear(base.encode({ weight: scaled, bias }), scales, name);
    },
  };
};
