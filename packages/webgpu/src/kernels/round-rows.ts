import type { Spec } from '@peftjs/tensor';
import type { DeviceFacts, Dispatch } from '../kernel.ts';
import { packedElement } from './packed-scales.ts';
import { lowest, rowDispatch, rowsOf } from './rows.ts';

/** The bits of no number, a parameter: WGSL takes no such constant, and a compiler may take 0 times anything to be 0. */
const params = { nan: 0x7fc00000 };

/** Statements that find `top`, the largest size of a row's values, and `fails`, no number where one is not finite, else 0: a maximum may pass over what is no number, a sum does not. */
const measureRow = (value: string): string => `
  let base = row * p.width;
  var top = ${lowest};
  var sum = 0.0;
  for (var j = first; j < p.width; j += step) {
    let v = ${value};
    top = max(top, abs(v));
    sum += v;
  }
  top = max(row_max(top, lane), 1e-30);
  let ends = bitcast<u32>(row_sum(sum, lane)) & 0x7f800000u;
  let fails = select(0.0, bitcast<f32>(p.nan), ends == 0x7f800000u);`;

/**
 * `factors` of the rows of x for products in f16: the power of two that brings a row's largest size to [4, 8); no number where one of the row is not finite.
 */
export const rowFactors = (x: Spec, buffer: string, device: DeviceFacts): Dispatch => {
  const { rows, width } = rowsOf(x);
  return rowDispatch(
    {
      label: 'row factors',
      rows,
      width,
      bindings: [
        { buffer, as: 'x', access: 'read', element: 'f32' },
        { buffer: 'factors', access: 'read_write', element: 'f32' },
      ],
      params,
      body: `${measureRow('x[base + j]')}
  // The bits of 2²⁻ᵉ, e being the exponent of the largest.
  let factor = bitcast<f32>(((256u - (bitcast<u32>(top) >> 23u)) & 255u) << 23u);
  if (first == 0u) { factors[row] = factor + fails; }`,
    },
    device,
  );
};

/** Scales of the places of a row, and the buffer that holds them. */
export interface Factor extends Pick<Spec, 'dtype'> {
  readonly buffer: string;
}

/** Elements of a row of rounded values: whole words of four. */
export const roundedPitch = (width: number): number => 4 * Math.ceil(width / 4);

/**
 * Rows of x as whole numbers, as `compute: 'int8'` has them: `rounded` gets q = round(x / r) in two's complement, four to a word and zeros behind the last, `steps` gets r = max|x| / 127,
 * which is no number where one of the row is not finite. `scale` is what x is multiplied by before, one for each place of a row.
 */
export const roundRows = (x: Spec, scale: Factor | null, device: DeviceFacts): Dispatch => {
  const { rows, width } = rowsOf(x);
  const value = scale ? `x[base + j] * ${packedElement('scale', scale, 'j')}` : 'x[base + j]';
  return rowDispatch(
    {
      label: 'round rows',
      rows,
      width,
      bindings: [
        { buffer: 'x', access: 'read', element: 'f32' },
        ...(scale
          ? [
              {
                buffer: scale.buffer,
                as: 'scale',
                access: 'read',
                element: scale.dtype === 'f32' ? 'f32' : 'u32',
              } as const,
            ]
          : []),
        { buffer: 'rounded', access: 'read_write', element: 'u32' },
        { buffer: 'steps', access: 'read_write', element: 'f32' },
      ],
      params: { ...params, words: roundedPitch(width) / 4 },
      body: `${measureRow(value)}
  let r = top * ${Math.fround(1 / 127)};
  let inverse = 1.0 / r;
  if (first == 0u) { steps[row] = r + fails; }
  for (var w = first; w < p.words; w += step) {
    var word = 0u;
    for (var c = 0u; c < 4u; c++) {
      let j = 4u * w + c;
      if (j < p.width) { word |= (bitcast<u32>(i32(round(${value} * inverse))) & 255u) << (8u * c); }
    }
    rounded[row * p.words + w] = word;
  }`,
    },
    device,
  );
};
