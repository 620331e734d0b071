import { dynamicMap, stateBlock } from '@peftjs/tensor';
import { middlesOf, nearestCode, unsignedDynamicMap } from '@peftjs/tensor/executor';
import type { HostArray } from './storage.ts';

const mapOf = (levels: readonly number[]): { readonly levels: Float32Array; readonly middles: readonly number[] } => ({
  levels: Float32Array.from(levels),
  middles: middlesOf(levels),
});
const [signed, unsigned] = [mapOf(dynamicMap), mapOf(unsignedDynamicMap)];

/** Writes the codes of values and gives their scale. */
const pack = (values: Float32Array, middles: readonly number[], codes: HostArray, from: number): number => {
  let scale = 0;
  for (const x of values) scale = Math.max(scale, Math.abs(x));
  const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
  for (let i = 0; i < values.length; i++) codes[from + i] = nearestCode(middles, values[i]! * inverse);
  return scale;
};

/**
 * One step over arrays, in place, as the record `adamw8bit` defines it: 256 moments at a time are unpacked to f32, stepped and packed again.
 * Dettmers, Lewis, Shleifer & Zettlemoyer, 2022. https://arxiv.org/abs/2110.02861
 */
export const adamw8bitInPlace = (
  [weight, m, v, mScale, vScale]: readonly [HostArray, HostArray, HostArray, HostArray, HostArray],
  grad: HostArray,
  hyper: HostArray,
): void => {
  const [rate, beta1, beta2, eps, decay, correction1, correction2, gradScale] = [...hyper] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // The record's way to skip a step.
  if (gradScale === 0) return;
  const moments = [new Float32Array(stateBlock), new Float32Array(stateBlock)] as const;
  for (let block = 0; block < mScale.length; block++) {
    const from = block * stateBlock;
    const size = Math.min(stateBlock, weight.length - from);
    const [m1, v1] = [moments[0].subarray(0, size), moments[1].subarray(0, size)];
    const [scaleM, scaleV] = [mScale[block]!, vScale[block]!];
    for (let i = 0; i < size; i++) {
      const g = grad[from + i]! * gradScale;
      m1[i] = beta1 * signed.levels[m[from + i]!]! * scaleM + (1 - beta1) * g;
      v1[i] = beta2 * unsigned.levels[v[from + i]!]! * scaleV + (1 - beta2) * g * g;
      const step = m1[i]! / correction1 / (Math.sqrt(v1[i]! / correction2) + eps);
      const w = weight[from + i]!;
      weight[from + i] = w - rate * (step + decay * w);
    }
    mScale[block] = pack(m1, signed.middles, m, from);
    vScale[block] = pack(v1, unsigned.middles, v, from);
  }
};
