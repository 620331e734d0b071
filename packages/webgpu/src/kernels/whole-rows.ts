import { levelRange, type PackedAttrs, packedRow } from '@peftjs/tensor';
import type { DeviceFacts, Dispatch } from '../kernel.ts';
import type { Readable } from './packed-scales.ts';
import { packingBindings, packingParams, unpackWgsl } from './packing.ts';
import { rowDispatch } from './rows.ts';

/**
 * A packed matrix of so many rows as whole numbers of one step a row, `whole` and `wholeSteps`, as `compute: 'int8'` takes it: see `wholeRows` of `@peftjs/tensor`. A step is found by the scales alone; then every invocation writes a word of
 * four codes.
 */
export const wholeRows = (
  { dispatches, temps, packing, pitch }: Readable,
  rows: number,
  attrs: PackedAttrs,
  device: DeviceFacts,
): Readable => {
  const { inDim } = attrs;
  const [least, largest] = levelRange(attrs);
  const size = rows * inDim;
  const { hasMin } = packing;
  const ends = [least, largest].map((level) => (hasMin ? `abs(${level} * v.x - v.y)` : `abs(${level} * v)`));
  const reach = rowDispatch(
    {
      label: 'steps of rows',
      rows,
      width: packedRow(attrs).blocks,
      bindings: [
        { buffer: packing.scales!, as: 'scales', access: 'read', element: hasMin ? 'vec2<f32>' : 'f32' },
        { buffer: 'wholeSteps', access: 'read_write', element: 'f32' },
      ],
      body: `
  let base = row * p.width;
  var top = 1e-30;
  for (var j = first; j < p.width; j += step) {
    let v = scales[base + j];
    top = max(top, max(${ends.join(', ')}));
  }
  let most = row_max(top, lane);
  if (first == 0u) { wholeSteps[row] = most * ${Math.fround(1 / 127)}; }`,
    },
    device,
  );
  const words = Math.ceil(size / 4);
  const round: Dispatch = {
    label: 'whole rows',
    wgsl: `${unpackWgsl('codes', packing)}
fn code(e: u32) -> u32 {
  if (e >= p.size) { return 0u; }
  let row = e / p.columns;
  let v = at_codes(row * p.pitch + e % p.columns);
  return u32(i32(clamp(round(v / wholeSteps[row]), -127.0, 127.0))) & 255u;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.words) { return; }
  let e = 4u * i;
  whole[i] = code(e) | (code(e + 1u) << 8u) | (code(e + 2u) << 16u) | (code(e + 3u) << 24u);
}`,
    bindings: [
      { buffer: 'codes', access: 'read', element: 'u32' },
      ...packingBindings('codes', packing),
      { buffer: 'wholeSteps', access: 'read', element: 'f32' },
      { buffer: 'whole', access: 'read_write', element: 'u32' },
    ],
    params: { size, words, columns: inDim, pitch, ...packingParams('codes', packing) },
    workgroups: Math.ceil(words / 64),
  };
  return {
    dispatches: [...dispatches, reach, round],
    temps: { ...temps, wholeSteps: 4 * rows, whole: 4 * words },
    packing: { format: 'sint8', scales: 'wholeSteps', block: inDim },
    pitch: inDim,
  };
};
