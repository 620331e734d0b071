import { type Spec, sizeOf } from '@peftjs/tensor';
import { stridesOf } from '@peftjs/tensor/op';
import type { KernelFor } from './kernel-for.ts';

/** Elements from one batch, head and token to the next, as parameters. */
export const axisParams = (
  name: string,
  [batch, head, token]: readonly number[],
): readonly (readonly [string, number])[] => [
  [`${name}Batch`, batch!],
  [`${name}Head`, head!],
  [`${name}Token`, token!],
];

/** Elements from the angles of one batch to those of the next; 0 where all have the same. */
export const angleBatch = (cos: Spec, batch: number, tokens: number, headDim: number): number =>
  cos.shape.length === 3 && batch > 1 ? (tokens * headDim) / 2 : 0;

/**
 * WGSL from the `i`-th pair of a tensor with `heads` heads: `source` and `at`, where its first value is read and written, `angle`, and `s`,
 * the sine (`@sin` stands for its buffer).
 */
export const ropeRows = (from: string, to: string): string => `
    let d = i % p.half;
    let row = i / p.half;
    let token = row % p.tokens;
    let head = row / p.tokens % heads;
    let batch = row / p.tokens / heads;
    let source = batch * p.${from}Batch + head * p.${from}Head + token * p.${from}Token + d;
    let at = batch * p.${to}Batch + head * p.${to}Head + token * p.${to}Token + d;
    let angle = batch * p.angleBatch + token * p.half + d;
    let s = @sin[angle];`;

/** One invocation per pair of values. */
export const ropeKernel: KernelFor<'rope'> = {
  kind: 'dispatch',
  emits: true,
  strided: ['x', 'out0'],
  plan: ({ inputs: { x, cos }, strides }, { inverse = false }) => {
    const [batch, heads, tokens, headDim] = x!.shape as [number, number, number, number];
    const pairs = sizeOf(x!.shape) / 2;
    const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.pairs) { return; }
  let heads = p.heads;${ropeRows('x', 'out0')}
  let a = x[source];
  let b = x[source + p.half];
  emit(at, a * cos_[angle] - b * s);
  emit(at + p.half, b * cos_[angle] + a * s);
}`.replaceAll('@sin', `${inverse ? '-' : ''}sin_`);
    return {
      dispatches: [
        {
          wgsl,
          emits: 'out0',
          bindings: [
            { buffer: 'x', access: 'read', element: 'f32' },
            { buffer: 'cos', as: 'cos_', access: 'read', element: 'f32' },
            { buffer: 'sin', as: 'sin_', access: 'read', element: 'f32' },
            { buffer: 'out0', access: 'read_write', element: 'f32' },
          ],
          params: {
            pairs,
            half: headDim / 2,
            tokens,
            heads,
            angleBatch: angleBatch(cos!, batch, tokens, headDim),
            ...Object.fromEntries([
              ...axisParams('x', strides?.['x'] ?? stridesOf(x!.shape)),
              ...axisParams('out0', strides?.['out0'] ?? stridesOf(x!.shape)),
            ]),
          },
          workgroups: Math.ceil(pairs / 64),
        },
      ],
    };
  },
};
