import {
  type Compute,
  normalValues,
  type Random,
  type Shape,
  sizeOf,
  type Tensor,
  type TypedArray,
  uniformValues,
} from '@peftjs/tensor';

/** First values made on the host, from a shape and a random stream. */
export type HostInit = (shape: Shape, random: Random) => TypedArray;

/**
 * First values made on the host of others, as a decomposition of the base's weights is: `compute` gives the values of tensors, on the executor that asks for
 * the first values.
 */
type ComputedInit = (shape: Shape, random: Random, compute: Compute) => TypedArray | Promise<TypedArray>;

/**
 * First values of a parameter: made on the host from its shape and its own random stream, or of other tensors' values too; or a graph evaluated once, which
 * may be made with that stream too.
 */
export type Init = ComputedInit | Tensor | { readonly graph: (random: Random) => Tensor };

/** All zeros. */
export const zeros: Init = (shape) => new Float32Array(sizeOf(shape));

/** All ones. */
export const ones: Init = (shape) => new Float32Array(sizeOf(shape)).fill(1);

/** N(0, std²). */
export const normal =
  (std: number): Init =>
  (shape, random) =>
    normalValues(sizeOf(shape), std, random);

/**
 * U(−1/√fanIn, 1/√fanIn) with fanIn the last axis: `kaiming_uniform_(a=√5)`, PyTorch's default for a linear layer and PEFT's for `lora_A`.
 * He, Zhang, Ren & Sun, 2015. https://arxiv.org/abs/1502.01852
 */
export const kaimingUniform: HostInit = (shape, random) => {
  const bound = 1 / Math.sqrt(shape.at(-1)!);
  return uniformValues(sizeOf(shape), -bound, bound, random);
};

/** U(−g·√(6 / (rows + columns)), …) of the last two axes, with the gain g. Glorot & Bengio, 2010. https://proceedings.mlr.press/v9/glorot10a.html */
export const glorotUniform =
  (gain = 1): HostInit =>
  (shape, random) => {
    const bound = gain * Math.sqrt(6 / (shape.at(-1)! + shape.at(-2)!));
    return uniformValues(sizeOf(shape), -bound, bound, random);
  };

/** U(−bound, bound). */
export const uniform =
  (bound: number): Init =>
  (shape, random) =>
    uniformValues(sizeOf(shape), -bound, bound, random);

/** All the same value. */
export const filled =
  (value: number): Init =>
  (shape) =>
    new Float32Array(sizeOf(shape)).fill(value);

/** Values of N(0, std²) that lie within two of its deviations. */
export const truncatedNormal =
  (std: number): HostInit =>
  (shape, random) => {
    const draw = (): number => {
      for (;;) {
        const [value] = normalValues(1, std, random) as unknown as readonly [number];
        if (Math.abs(value) <= 2 * std) return value;
      }
    };
    return Float32Array.from({ length: sizeOf(shape) }, draw);
  };
