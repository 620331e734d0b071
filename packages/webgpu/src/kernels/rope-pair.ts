import { sizeOf } from '@peftjs/tensor';
import { stridesOf } from '@peftjs/tensor/op';
import type { Binding } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { angleBatch, axisParams, ropeRows } from './rope.ts';

const read = (buffer: string): Binding => ({ buffer, as: `${buffer}_`, access: 'read', element: 'f32' });
const write = (buffer: string): Binding => ({ buffer, access: 'read_write', element: 'f32' });

/** Rotates one of the two, from the `i`-th pair on. */
const turn = (x: 'q' | 'k', out: string): string => `
    let heads = p.${x}Heads;${ropeRows(x, out)}
    let a = ${x}_[source];
    let b = ${x}_[source + p.half];
    ${out}[at] = a * cos_[angle] - b * s;
    ${out}[at + p.half] = b * cos_[angle] + a * s;`;

/** One invocation per pair of values: those of the queries, then those of the keys. */
export const ropePairKernel: KernelFor<'rope_pair'> = {
  kind: 'dispatch',
  strided: ['q', 'k', 'out0', 'out1'],
  plan: ({ inputs: { q, k, cos }, outs, strides }, { inverse = false }) => {
    const sides = [
      { x: 'q' as const, spec: q!, out: 'out0', wanted: outs[0] },
      { x: 'k' as const, spec: k!, out: 'out1', wanted: outs[1] },
    ].filter(({ wanted }) => wanted);
    const counts = sides.map(({ spec }) => sizeOf(spec.shape) / 2);
    const pairs = counts.reduce((a, b) => a + b, 0);
    const [first, second] = sides.map(({ x, out }) => turn(x, out));
    const sign = inverse ? '-' : '';
    const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var i = group_index(group) * 64u + lane;
  if (i >= p.pairs) { return; }
  ${second ? `if (i >= p.firstPairs) {\n    i -= p.firstPairs;${second}\n    return;\n  }` : ''}
  {${first ?? ''}
  }
}`.replaceAll('@sin', `${sign}sin_`);
    const params = sides.flatMap(({ x, spec, out }) => [
      [`${x}Heads`, spec.shape[1]!] as const,
      ...axisParams(x, strides?.[x] ?? stridesOf(spec.shape)),
      ...axisParams(out, strides?.[out] ?? stridesOf(spec.shape)),
    ]);
    const [batch, , tokens, headDim] = q!.shape as [number, number, number, number];
    return {
      dispatches: [
        {
          wgsl,
          bindings: [...sides.map(({ x }) => read(x)), read('cos'), read('sin'), ...sides.map(({ out }) => write(out))],
          params: {
            pairs,
            ...(second && { firstPairs: counts[0]! }),
            half: headDim / 2,
            tokens,
            angleBatch: angleBatch(cos!, batch, tokens, headDim),
            ...Object.fromEntries(params),
          },
          workgroups: Math.ceil(pairs / 64),
        },
      ],
    };
  },
};
