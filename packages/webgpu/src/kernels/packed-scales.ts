import { type Packed, type PackedAttrs, packedRow, type ScaleMap, type Spec, scaleGroup, sizeOf } from '@peftjs/tensor';
import type { Binding, Dispatch } from '../kernel.ts';
import { dynamicMapWgsl } from './dynamic-map.ts';
import { type Packing, scaleBytes } from './packing.ts';

/** The preparation of a packed matrix: passes to run before, their scratch, and how to read it then. */
export interface Readable {
  readonly dispatches: readonly Dispatch[];
  readonly temps: Readonly<Record<string, number>>;
  readonly packing: Packing;
  /** Elements of a stored row. */
  readonly pitch: number;
}

const byte = (array: string): string => `extractBits(${array}[i >> 2u], (i & 3u) * 8u, 8u)`;

/** An element of an array of f32, or of f16, two to a word. */
export const packedElement = (array: string, { dtype }: Pick<Spec, 'dtype'>, at: string): string =>
  dtype === 'f16' ? `unpack2x16float(${array}[(${at}) >> 1u])[(${at}) & 1u]` : `${array}[${at}]`;

const mapped: { readonly [M in ScaleMap]: string } = {
  uint8: 'f32(code)',
  int8: '(f32(code) - 128.0)',
  dynamic: 'dynamic(code)',
};

const scaleWgsl = ({ scale, scaleCodes, scaleOffset }: Packed<Spec>, map: ScaleMap): string => {
  if (!scaleCodes) return `let s = ${packedElement('scale', scale, 'i')};`;
  const offset = scaleOffset ? ' + scaleOffset[0]' : '';
  return `let code = ${byte('scaleCodes')};
  let s = ${mapped[map]} * ${packedElement('scale', scale, 'i / p.group')}${offset};`;
};

const minWgsl = ({ min, minCodes }: Packed<Spec>): string => {
  if (!minCodes) return packedElement('min', min!, 'i');
  return `f32(${byte('minCodes')}) * ${min ? packedElement('min', min, 'i / p.group') : 's'}`;
};

/** Scales of blocks, and their minima beside them, as kernels read them: from what is packed, or f16. */
const unpackScales = (
  packed: Packed<Spec>,
  { group = scaleGroup, scaleMap = 'dynamic' }: PackedAttrs,
  size: number,
): Dispatch => {
  const hasMin = Boolean(packed.min ?? packed.minCodes);
  const read = (['scaleCodes', 'scale', 'scaleOffset', 'min', 'minCodes'] as const).flatMap((buffer): Binding[] => {
    const spec = packed[buffer];
    return spec ? [{ buffer, access: 'read', element: spec.dtype === 'f32' ? 'f32' : 'u32' }] : [];
  });
  return {
    label: 'unpack scales',
    wgsl: `${packed.scaleCodes && scaleMap === 'dynamic' ? dynamicMapWgsl : ''}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  ${scaleWgsl(packed, scaleMap)}
  scales[i] = ${hasMin ? `vec2<f32>(s, ${minWgsl(packed)})` : 's'};
}`,
    bindings: [...read, { buffer: 'scales', access: 'read_write', element: hasMin ? 'vec2<f32>' : 'f32' }],
    params: { size, ...((packed.scaleCodes || (packed.min && packed.minCodes)) && { group }) },
    workgroups: Math.ceil(size / 64),
  };
};

/** How kernels read the packed matrix in the buffers named after its tensors. Scales that are packed, f16 or go with minima are unpacked first; they are few. */
export const readPacked = (packed: Packed<Spec>, attrs: PackedAttrs): Readable => {
  const { format, block } = attrs;
  const { blocks } = packedRow(attrs);
  const size = sizeOf([packed.codes.shape[0]!, blocks]);
  const hasMin = Boolean(packed.min ?? packed.minCodes);
  const isReady = !packed.scaleCodes && !hasMin && packed.scale.dtype === 'f32';
  return {
    dispatches: isReady ? [] : [unpackScales(packed, attrs, size)],
    temps: isReady ? {} : { scales: scaleBytes({ hasMin }) * size },
    packing: {
      format,
      scales: isReady ? 'scale' : 'scales',
      block,
      ...(hasMin && { hasMin }),
      ...(packed.high && { high: 'high' }),
    },
    pitch: blocks * block,
  };
};
