import {
  cast,
  constant,
  evaluate,
  input,
  matmulQuantized,
  mul,
  PeftError,
  reference,
  type Shape,
  sum,
  type Tensor,
  type TypedArray,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { describe, expect, it } from 'vitest';
import { grad } from './grad.ts';
import { gradcheck } from './gradcheck.ts';

type AnySample = Parameters<typeof sampleInputs>[1];

/** Integers, stored halves and staircases have no differences to take. */
const isSmooth = (op: AnyOp, sample: AnySample): boolean => {
  if (sample.rounds) return false;
  const { tensors } = sampleInputs(op, sample, 1);
  const outs = sampleOutputs(op, sample, tensors);
  return (
    outs[0]!.dtype === 'f32' &&
    Object.values(tensors).some((t) => t.dtype === 'f32') &&
    !Object.values(tensors).some((t) => t.dtype === 'f16')
  );
};

/** Rules that by design reach only some outputs or inputs: how many outputs, if not all, by a sample's inputs where it depends on them. */
interface Limit {
  readonly outputs?: number | ((tensors: Readonly<Record<string, Tensor>>) => number);
  readonly constant?: readonly string[];
}
const limits: Readonly<Record<string, Limit>> = {
  // The gradient of its second output takes four columns more than q has.
  attention: { outputs: ({ q }) => (q!.shape[3]! > 252 ? 1 : 2), constant: ['keyMask'] },
  head_cross_entropy: { outputs: 1, constant: ['scale'] },
  head_label_losses: { outputs: 1, constant: ['scale'] },
  matmul_quantized: { constant: ['scale', 'scaleOffset', 'min'] },
  expert_matmul_packed: { constant: ['scale'] },
};

interface Point {
  readonly name: string;
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** The op as a function of its f32 inputs in order, others fixed, and the point at which the sample puts them. */
const problemOf = (op: AnyOp, sample: AnySample): { fn: (...args: Tensor[]) => Tensor[]; points: Point[] } => {
  const { tensors, feeds } = sampleInputs(op, sample, 1);
  const { outputs, constant: fixedNames = [] } = limits[op.name] ?? {};
  const entries = Object.entries(tensors);
  const moves = (name: string): boolean => tensors[name]!.dtype === 'f32' && !fixedNames.includes(name);
  const points = entries.flatMap(([name, t]) => (moves(name) ? [{ name, shape: t.shape, data: feeds[name]! }] : []));
  const fixed = Object.fromEntries(
    entries.flatMap(([name, t]) => (moves(name) ? [] : [[name, constant(feeds[name]!, t.shape, t.dtype)]])),
  );
  const reached = typeof outputs === 'function' ? outputs(tensors) : outputs;
  const fn = (...args: Tensor[]): Tensor[] => {
    const all = { ...fixed, ...Object.fromEntries(points.map((p, i) => [p.name, args[i]!])) };
    return sampleOutputs(op, sample, all)
      .slice(0, reached)
      .filter((out) => out.dtype === 'f32');
  };
  return { fn, points };
};

const differentiable = Object.entries(ops as unknown as Record<string, AnyOp>).filter(([, op]) => op.vjp !== 'none');

describe.each(differentiable)('the gradient rule of %s agrees with differences', (_, op) => {
  const samples = op.samples.filter((sample) => isSmooth(op, sample));

  it('has samples at which to check', () => expect(samples.length).toBeGreaterThan(0));

  it.each(samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', (_title, sample) => {
    const { fn, points } = problemOf(op, sample);
    const found = gradcheck(
      fn,
      points.map(({ shape, data }) => ({ shape, values: Float64Array.from(data) })),
    );
    expect(found).toEqual([]);
  });
});

describe.each(Object.entries(limits).filter(([, limit]) => limit.outputs))('the rule of %s', (name, { outputs }) => {
  it('refuses gradients of its other outputs', () => {
    const op = (ops as unknown as Record<string, AnyOp>)[name]!;
    const refused = op.samples.flatMap((sample) => {
      const { tensors } = sampleInputs(op, sample, 1);
      const reached = typeof outputs === 'function' ? outputs(tensors) : outputs;
      return sampleOutputs(op, sample, tensors)
        .slice(reached)
        .map((out) => [out, tensors[op.inputs[0]!]!] as const);
    });
    expect(refused.length).toBeGreaterThan(0);
    for (const [out, x] of refused) expect(() => grad(sum(out), [x])).toThrow(PeftError);
  });
});

type Part = Tensor | null;

describe('the gradient of a product of whole numbers', () => {
  const rounding = ops.matmul_quantized.samples.filter((sample) => sample.rounds);

  it.each(rounding.map((sample) => [sampleTitle(sample), sample] as const))(
    'goes straight through, near that of the values: %s',
    async (_, sample) => {
      const { tensors, feeds } = sampleInputs(ops.matmul_quantized as unknown as AnyOp, sample, 1);
      const { x, codes, scale, ...t } = tensors as Record<'x' | 'codes' | 'scale', Tensor> &
        Readonly<Record<string, Tensor>>;
      const others = (['scaleCodes', 'scaleOffset', 'high', 'min', 'minCodes'] as const).map((name) => t[name] ?? null);
      const [scaleCodes, scaleOffset, high, min, minCodes] = others as [Part, Part, Part, Part, Part];
      const { compute: _none, ...plain } = sample.attrs!;
      const slope = (attrs: typeof plain): Tensor => {
        const y = matmulQuantized(x, codes, scale, scaleCodes, scaleOffset, high, min, minCodes, attrs);
        return grad(sum(mul(y, y)), [x])[0]!;
      };
      const found = await evaluate(
        { got: slope(sample.attrs!), wanted: slope(plain) },
        { executor: reference(), feeds },
      );
      const [got, wanted] = [found['got']!, found['wanted']!];
      const apart = Math.hypot(...got.map((v, i) => v - wanted[i]!)) / Math.hypot(...wanted);
      expect(apart).toBeLessThan(0.03);
      expect(apart).toBeGreaterThan(1e-5);
    },
  );
});

describe('the rule of cast', () => {
  it('goes back through half precision, and nowhere from integers', async () => {
    const x = input('x', [3]);
    const halves = sum(mul(cast(cast(x, { dtype: 'f16' }), { dtype: 'f32' }), constant(Float32Array.of(2, 3, 4), [3])));
    const whole = sum(cast(cast(x, { dtype: 'i32' }), { dtype: 'f32' }));
    const [dHalves, dWhole] = [grad(halves, [x])[0]!, grad(whole, [x])[0]!];
    const out = await evaluate({ dHalves, dWhole }, { executor: reference() });
    expect([...out['dHalves']!]).toEqual([2, 3, 4]);
    expect([...out['dWhole']!]).toEqual([0, 0, 0]);
  });
});
