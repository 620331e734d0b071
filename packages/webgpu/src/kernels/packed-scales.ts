import { type Packed, type PackedAttrs, packedRow, type Spec, scaleGroup, sizeOf } from '@peftjs/tensor';
import type { Dispatch } from '../kernel.ts';
import { dynamicMapWgsl } from './dynamic-map.ts';
import type { Packing } from './packing.ts';

/** The preparation of a packed matrix: passes to run before, their scratch, and how to read it then. */
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
