import { sizeOf } from '@peftjs/tensor';
import type { Dispatch } from '../kernel.ts';
import { dynamicMapWgsl, unsignedDynamicMapWgsl } from './dynamic-map.ts';
import type { KernelFor } from './kernel-for.ts';
import { positionParts, windowOf } from './position-shards.ts';

const lanes = 64;
/** A lane handles the four values whose codes share a word; a workgroup a block of values that share a scale. */
const block = 4 * lanes;

/** The nearest level's code: how many middles of neighbours lie below. */
const code = (name: string, level: string): string => `
fn ${name}(x: f32) -> u32 {
  var code = 0u;
  for (var bit = 128u; bit > 0u; bit >>= 1u) {
    let next = code + bit;
    if (0.5 * (${level}(next - 1u) + ${level}(next)) < x) { code = next; }
  }
  return code;
}`;

/** Every workgroup steps one block: moments unpacked, the weights stepped, the largest of each moment found, and packed by it. */
export const adamw8bitKernel: KernelFor<'adamw8bit'> = {
  kind: 'dispatch',
  plan: ({ inputs: { weight }, outs }, _, { maxBindingBytes }) => {
    const size = sizeOf(weight!.shape);
    const when = (index: number, text: string): string => (outs[index] ? text : '');
    const wgsl = `${dynamicMapWgsl}
${unsignedDynamicMapWgsl}
${code('signed_code', 'dynamic')}
${code('unsigned_code', 'unsigned_dynamic')}
var<workgroup> most: array<vec2<f32>, ${lanes}>;
fn inverse(x: f32) -> f32 { return select(0.0, 1.0 / x, x > 0.0); }
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let own = group_index(group);
  let at = p.block + own;
  let word = own * ${lanes}u + lane;
  let first = 4u * word;
  let count = min(4u, max(first, p.size) - first);
  let moves = hyper[7] != 0.0;
  var old = vec2<u32>(0u);
  if (count > 0u) { old = vec2<u32>(m[word], v[word]); }
  let scales = vec2<f32>(mScale[at], vScale[at]);
  var moments: array<vec2<f32>, 4>;
  var largest = vec2<f32>(0.0);
  for (var k = 0u; k < count; k += 1u) {
    let i = first + k;
    let g = grad[i] * hyper[7];
    let m0 = dynamic(extractBits(old.x, 8u * k, 8u)) * scales.x;
    let v0 = unsigned_dynamic(extractBits(old.y, 8u * k, 8u)) * scales.y;
    let m1 = hyper[1] * m0 + (1.0 - hyper[1]) * g;
    let v1 = hyper[2] * v0 + (1.0 - hyper[2]) * g * g;
    moments[k] = vec2<f32>(m1, v1);
    largest = max(largest, abs(moments[k]));
    ${when(
      0,
      `let w = weight[i];
    let step = (m1 / hyper[5]) / (sqrt(v1 / hyper[6]) + hyper[3]);
    out0[i] = select(w, w - hyper[0] * (step + hyper[4] * w), moves);`,
    )}
  }
  most[lane] = largest;
  // Scales are read by all lanes before one of them writes the new ones.
  storageBarrier();
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { most[lane] = max(most[lane], most[lane + half]); }
    workgroupBarrier();
  }
  let now = most[0];
  if (lane == 0u) {
    ${when(3, 'out3[at] = select(scales.x, now.x, moves);')}
    ${when(4, 'out4[at] = select(scales.y, now.y, moves);')}
  }
  var packed = vec2<u32>(0u);
  for (var k = 0u; k < count; k += 1u) {
    packed.x |= signed_code(moments[k].x * inverse(now.x)) << (8u * k);
    packed.y |= unsigned_code(moments[k].y * inverse(now.y)) << (8u * k);
  }
  if (count > 0u) {
    ${when(1, 'out1[word] = select(old.x, packed.x, moves);')}
    ${when(2, 'out2[word] = select(old.y, packed.y, moves);')}
  }
}`;
    const dispatches = positionParts(size, { bytes: 4, maxBytes: maxBindingBytes, unit: block }).map(
      (part): Dispatch => {
        const wide = windowOf(part, size, 4);
        const narrow = windowOf(part, size, 1);
        const read = (buffer: string, element: string, window: typeof wide = {}) =>
          ({ buffer, access: 'read', element, ...window }) as const;
        const written = [wide, narrow, narrow, {}, {}].flatMap((window, i) =>
          outs[i]
            ? [
                {
                  buffer: `out${i}`,
                  access: 'read_write',
                  element: i === 1 || i === 2 ? 'u32' : 'f32',
                  ...window,
                } as const,
              ]
            : [],
        );
        return {
          wgsl,
          bindings: [
            ...(outs[0] ? [read('weight', 'f32', wide)] : []),
            read('grad', 'f32', wide),
            read('m', 'u32', narrow),
            read('v', 'u32', narrow),
            read('mScale', 'f32'),
            read('vScale', 'f32'),
            read('hyper', 'f32'),
            ...written,
          ],
          params: { size: part.count, block: part.first / block },
          workgroups: Math.ceil(part.count / block),
        };
      },
    );
    return {
      dispatches,
      inPlace: { out0: ['weight'], out1: ['m'], out2: ['v'], out3: ['mScale'], out4: ['vScale'] },
    };
  },
};
