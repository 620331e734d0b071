import { defineOp, type Op } from '../define-op.ts';
import { type Spec, sameShape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { dynamicMap, middlesOf, nearestCode, unsignedDynamicMap } from './dynamic-map.ts';
import { expectF32 } from './expect.ts';

export type Adamw8bitInputs = readonly ['weight', 'grad', 'm', 'v', 'mScale', 'vScale', 'hyper'];
type Specs = { readonly [K in Adamw8bitInputs[number]]: Spec };

/** Values that share a scale, in the order in which they lie. */
export const stateBlock = 256;

const infer = (specs: Specs): readonly [Spec, Spec, Spec, Spec, Spec] => {
  const { weight, grad, m, v, mScale, vScale, hyper } = specs;
  expectF32('adamw8bit', { weight, grad, mScale, vScale, hyper });
  accepts('adamw8bit', 'm', m, ['u8']);
  accepts('adamw8bit', 'v', v, ['u8']);
  if (![grad, m, v].every((t) => sameShape(t.shape, weight.shape)))
    throw shapeError('adamw8bit', [weight, grad, m, v], 'weight, grad, m and v must have one shape');
  const blocks = Math.ceil(sizeOf(weight.shape) / stateBlock);
  if (![mScale, vScale].every((t) => sameShape(t.shape, [blocks])))
    throw shapeError(
      'adamw8bit',
      [mScale, vScale],
      `there must be a scale for every ${stateBlock} values: [${blocks}]`,
    );
  if (!sameShape(hyper.shape, [8])) throw shapeError('adamw8bit', [hyper], 'hyper must be as adamw takes it: [8]');
  return [weight, m, v, mScale, vScale];
};

const [signed, unsigned] = [dynamicMap, unsignedDynamicMap].map((levels) => ({
  levels,
  middles: middlesOf(levels),
})) as [
  { readonly levels: readonly number[]; readonly middles: readonly number[] },
  { readonly levels: readonly number[]; readonly middles: readonly number[] },
];

/** Codes and the block's scale of values. */
const pack = (
  values: Float64Array,
  middles: readonly number[],
): { readonly codes: Float64Array; readonly scale: number } => {
  const scale = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const inverse = scale > 0 ? 1 / scale : 0;
  return { codes: values.map((x) => nearestCode(middles, x * inverse)), scale };
};

/**
 * One step of AdamW whose moments are kept in 8 bits: m and v hold codes of the dynamic data type (v the unsigned one), and every 256 values share
 * the largest magnitude among them as their scale. They are unpacked, stepped as `adamw` does, and packed again to the nearest level; the weight is stepped by
 * the moments before that. Returns [weight, m, v, mScale, vScale]. A gradScale (hyper[7]) of 0 leaves all as it is.
 * Dettmers, Lewis, Shleifer & Zettlemoyer, 2022. https://arxiv.org/abs/2110.02861. Throws `bad-shape`, `bad-dtype`.
 */
export const adamw8bit: Op<'adamw8bit', Adamw8bitInputs, readonly [], void, readonly [Spec, Spec, Spec, Spec, Spec]> =
  defineOp({
    name: 'adamw8bit',
    inputs: ['weight', 'grad', 'm', 'v', 'mScale', 'vScale', 'hyper'],
    infer,
    vjp: 'none',
    reference: ({ weight, grad, m, v, mScale, vScale, hyper }) => {
      const [rate, beta1, beta2, eps, decay, correction1, correction2, gradScale] = hyper as unknown as [
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      const outs = [weight, m, v, mScale, vScale].map((values) => values.slice());
      if (gradScale === 0) return outs;
      const [weightOut, mOut, vOut, mScaleOut, vScaleOut] = outs as [
        Float64Array,
        Float64Array,
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      for (let block = 0; block < mScale.length; block++) {
        const from = block * stateBlock;
        const part = (values: Float64Array): Float64Array => values.subarray(from, from + stateBlock);
        const g = part(grad).map((x) => x * gradScale);
        const m1 = part(m).map((code, i) => beta1 * signed.levels[code]! * mScale[block]! + (1 - beta1) * g[i]!);
        const v1 = part(v).map((code, i) => beta2 * unsigned.levels[code]! * vScale[block]! + (1 - beta2) * g[i]! ** 2);
        weightOut.set(
          part(weight).map(
            (w, i) => w - rate * (m1[i]! / correction1 / (Math.sqrt(v1[i]! / correction2) + eps) + decay * w),
          ),
          from,
        );
        const [packedM, packedV] = [pack(m1, signed.middles), pack(v1, unsigned.middles)];
        mOut.set(packedM.codes, from);
        vOut.set(packedV.codes, from);
        mScaleOut[block] = packedM.scale;
        vScaleOut[block] = packedV.scale;
      }
      return outs;
    },
    flops: ({ weight }) => 48 * sizeOf(weight.shape),
    samples: [[3, 257], [5], [2, 256], [0, 4], null].map((shape) => {
      // The last is a step to skip.
      const [all, gradScale] = shape ? [shape, 0.7] : [[70], 0];
      const blocks = [Math.ceil(sizeOf(all) / stateBlock)];
      return {
        shapes: { weight: all, grad: all, m: all, v: all, mScale: blocks, vScale: blocks, hyper: [8] },
        dtypes: { m: 'u8', v: 'u8' } as const,
        ranges: { m: [0, 256], v: [0, 256], mScale: [0.1, 1], vScale: [0.01, 1] } as const,
        values: {
          hyper: (i: number) => [0.01, 0.9, 0.99, 1e-8, 0.1, 1 - 0.9 ** 3, 1 - 0.99 ** 3, gradScale][i]!,
          ...(!shape && { grad: (i: number) => (i % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY) }),
        },
      };
    }),
  });
