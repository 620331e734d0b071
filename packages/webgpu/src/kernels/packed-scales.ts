import { type Packed, type PackedAttrs, packedRow, type Spec, scaleGroup, sizeOf } from '@peftjs/tensor';
import type { Dispatch } from '../kernel.ts';
import type { Packing } from './packing.ts';

/** WGSL of `fn dynamic(code: u32) -> f32`. */
const dynamicMapWgsl = `
const decades = array<f32, 7>(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0);
fn dynamic(code: u32) -> f32 {
  if (code == 127u) { return 0.0; }
  if (code == 255u) { return 1.0; }
  let step = select(127u - code, code - 127u, code > 127u);
  let decade = firstLeadingBit(step);
  let share = f32(1u << decade);
  let size = decades[decade] * (0.1 + 0.9 * ((f32(step) - share + 0.5) / share));
  return select(-size, size, code > 127u);
}`;
/** What makes a packed matrix readable: passes to run before, their scratch, and how to read it then. */
export interface Readable {
  readonly dispatches: readonly Dispatch[];
  readonly temps: Readonly<Record<string, number>>;
  readonly packing: Packing;
  /** Elements of a stored row. */
  readonly pitch: number;
}

const unpackScales = (size: number): Dispatch => ({
  label: 'unpack scales',
  wgsl: `${dynamicMapWgsl}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  let code = extractBits(scaleCodes[i >> 2u], (i & 3u) * 8u, 8u);
  scales[i] = dynamic(code) * scale[i / ${scaleGroup}u] + scaleOffset[0];
}`,
  bindings: [
    { buffer: 'scaleCodes', access: 'read', element: 'u32' },
    { buffer: 'scale', access: 'read', element: 'f32' },
    { buffer: 'scaleOffset', access: 'read', element: 'f32' },
    { buffer: 'scales', access: 'read_write', element: 'f32' },
  ],
  params: { size },
  workgroups: Math.ceil(size / 64),
});

/** How kernels read the packed matrix in the buffers named after its tensors. Packed scales are unpacked first; they are few. */
export const readPacked = ({ codes, scaleCodes }: Packed<Spec>, attrs: PackedAttrs): Readable => {
  const { format, block } = attrs;
  const { blocks } = packedRow(attrs);
  const size = sizeOf([codes.shape[0]!, blocks]);
  return {
    dispatches: scaleCodes ? [unpackScales(size)] : [],
    temps: scaleCodes ? { scales: 4 * size } : {},
    packing: { format, scales: scaleCodes ? 'scales' : 'scale', block },
    pitch: blocks * block,
  };
};
