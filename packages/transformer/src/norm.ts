import { add, constant, layerNorm, mul, reshape, rmsNorm, type Tensor } from '@peftjs/tensor';
import type { Call } from './pass.ts';

/** The values of a norm. */
export interface NormValues {
  /** [dim] */
  readonly weight: Tensor;
  /** [dim]; null where the norm has none. */
  readonly bias: Tensor | null;
}

/** A normalisation of the last axis, scaled and perhaps shifted. */
export interface Norm extends NormValues {
  readonly dim: number;
  /** [..., dim] -> [..., dim] */
  apply(x: Tensor, call: Call): Tensor;
  /** A norm of the same kind over other values. */
  encode(values: NormValues): Norm;
}

/**
 * x / sqrt(mean(x²) + eps) · weight, + bias where a method gave it one.
 * Zhang & Sennrich, 2019. https://arxiv.org/abs/1910.07467
 */
export const rmsNormLayer = ({ weight, bias }: NormValues, eps: number): Norm => ({
  dim: weight.shape[0]!,
  weight,
  bias,
  apply: (x) => (bias ? add(rmsNorm(x, weight, { eps }), bias) : rmsNorm(x, weight, { eps })),
  encode: (values) => rmsNormLayer(values, eps),
});

/**
 * The same scaled by 1 + weight, so that a weight of zeros changes nothing: Gemma's.
 * Gemma Team, 2024. https://arxiv.org/abs/2403.08295; transformers, `GemmaRMSNorm`.
 */
export const rmsNormPlusOneLayer = ({ weight, bias }: NormValues, eps: number): Norm => ({
  dim: weight.shape[0]!,
  weight,
  bias,
  apply: (x) => {
    const y = rmsNorm(x, add(weight, 1), { eps });
    return bias ? add(y, bias) : y;
  },
  encode: (values) => rmsNormPlusOneLayer(values, eps),
});

/**
 * (x − mean(x)) / sqrt(var(x) + eps) · weight + bias; no bias counts as zeros.
 * Ba, Kiros & Hinton, 2016. https://arxiv.org/abs/1607.06450
 */
export const layerNormLayer = ({ weight, bias }: NormValues, eps: number): Norm => ({
  dim: weight.shape[0]!,
  weight,
  bias,
  apply: (x) => layerNorm(x, weight, bias ?? constant(new Float32Array(weight.shape[0]!), weight.shape), { eps }),
  encode: (values) => layerNormLayer(values, eps),
});

/**
 * The same over each headDim values by themselves, with weights of their own: of rows of several heads, [..., heads · headDim]. transformers,
 * `CohereLayerNorm` of queries and keys.
 */
export const headNormLayer = ({ weight, bias }: NormValues, eps: number, headDim: number): Norm => ({
  dim: weight.shape[0]!,
  weight,
  bias,
  apply: (x) => {
    const heads = reshape(x, [...x.shape.slice(0, -1), -1, headDim]);
    const filled = (value: number): Tensor => constant(new Float32Array(headDim).fill(value), [headDim]);
    const y = mul(reshape(layerNorm(heads, filled(1), filled(0), { eps }), x.shape), weight);
    return bias ? add(y, bias) : y;
  },
  encode: (values) => headNormLayer(values, eps, headDim),
});
