import { defineOp, type Op, type Sample } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import {
  checkPacked,
  type PackedAttrs,
  type PackedInputs,
  type PackedOption,
  type PackedOptional,
  packedShapes,
  unpack,
} from './packed-matrix.ts';
import { packedSamples } from './packed-samples.ts';
import { isWhole, roundRow, wholeRows } from './whole-rows.ts';

/** How W is packed, and which way it is used. */
export interface MatmulQuantizedAttrs extends PackedAttrs {
  /** x·W instead of x·Wᵀ. Default false. */
  readonly transposed?: boolean;
  /**
   * `int8`: rows of x are rounded to 8 bits and multiplied as whole numbers by those of W, which are the codes of `sint8` where it has one scale a row and nothing else; other formats are rounded to one step a row, when
   * the product is due. Default: the values of W times x as it is.
   */
  readonly compute?: 'int8';
}

type Inputs = readonly ['x', ...PackedInputs];

const withX = (
  leading: readonly number[],
  transposed: boolean,
): readonly Sample<Inputs[number] | PackedOptional[number], MatmulQuantizedAttrs>[] =>
  packedSamples.map(({ shapes, attrs, ...rest }) => ({
    ...rest,
    shapes: { x: [...leading, transposed ? shapes.codes![0]! : attrs!.inDim], ...shapes },
    attrs: transposed ? { ...attrs!, transposed } : attrs!,
  }));

/** Values that no executor's last bit rounds the other way: 127 steps in front of a row, then fractions that are far from a half. */
const farFromHalf =
  (width: number) =>
  (i: number): number =>
    (i % width === 0 ? 127 : ((i * 37) % 251) - 125 + (i % 2 === 0 ? 0.25 : -0.3)) / 100;

const whole = (
  x: readonly number[],
  rows: number,
  inDim: number,
  more: { readonly transposed?: boolean } = {},
): Sample<Inputs[number], MatmulQuantizedAttrs> => ({
  shapes: { x, codes: [rows, inDim], scale: [rows, 1] },
  dtypes: { codes: 'u8' },
  ranges: { codes: [0, 256] },
  values: { x: farFromHalf(x.at(-1)!), scale: (i) => 2 ** -(7 + (i % 3)) },
  attrs: { format: 'sint8', inDim, block: inDim, compute: 'int8', ...more },
  rounds: true,
});

/** Of formats that are rounded to one step a row first. Scales are no powers of two, so that no value lies halfway between two steps. */
const rounded = (
  x: readonly number[],
  rows: number,
  attrs: MatmulQuantizedAttrs,
  parts: readonly PackedOption[] = [],
): Sample<Inputs[number] | PackedOption, MatmulQuantizedAttrs> => ({
  shapes: { x, ...packedShapes(attrs, rows, parts) },
  dtypes: { codes: 'u8', scaleCodes: 'u8', high: 'u8' },
  ranges: { codes: [0, 256], scaleCodes: [0, 256], high: [0, 256] },
  values: {
    x: farFromHalf(x.at(-1)!),
    scale: (i) => 0.0113 + 0.00071 * (i % 7),
    scaleOffset: () => 0.0171,
    min: (i) => 0.0127 - 0.00331 * (i % 5),
  },
  attrs: { ...attrs, compute: 'int8' },
  rounds: true,
});

/** Products of whole numbers, both ways: rows of few values and of many, rows that end inside a word, a depth of several parts, a single row. */
const wholeSamples = [
  whole([2, 9, 37], 11, 37),
  whole([70, 96], 130, 96),
  whole([17, 520], 20, 520),
  whole([1, 64], 33, 64),
  whole([2, 9, 11], 11, 37, { transposed: true }),
  whole([70, 130], 130, 96, { transposed: true }),
  rounded([2, 9, 96], 11, { format: 'nf4', inDim: 96, block: 32 }),
  rounded([5, 70], 67, { format: 'nf4', inDim: 70, block: 16 }, ['scaleCodes', 'scaleOffset']),
  rounded([70, 67], 67, { format: 'nf4', inDim: 70, block: 16, transposed: true }, ['scaleCodes', 'scaleOffset']),
  rounded([3, 33], 9, { format: 'uint3', inDim: 33, block: 16 }, ['high', 'min']),
  rounded([4, 9], 9, { format: 'fp8e4m3', inDim: 13, block: 13, transposed: true }),
];

/**
 * x·Wᵀ over the last axis, or x·W where `transposed`, of a packed W [outDim, inDim] (see `dequantize`), read as it is stored: it never
 * exists in f32 as a whole beyond this product. x f32 [..., inDim] -> [..., outDim], transposed the other way. The gradient of x is the
 * transposed product; W gets none.
 *
 * With `compute: 'int8'` y = r·s·Σ q·c, where q = round(x / r) in [−127, 127], r = max|x| / 127 of the row, c and s being code and scale of an output, of other formats than `sint8` by rows those of `wholeRows`: c = round(w / s), s being
 * what a code of the output can stand for at most, over 127; transposed, x·s takes the place of x and s is left out. The gradient is
 * straight through: of x as if it were not rounded, with dy rounded in turn. Wortsman et al., 2023 (SwitchBack). https://arxiv.org/abs/2304.13013; Dettmers et al., 2022. https://arxiv.org/abs/2208.07339
 *
 * Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const matmulQuantized: Op<'matmul_quantized', Inputs, PackedOptional, MatmulQuantizedAttrs> = defineOp({
  name: 'matmul_quantized',
  inputs: ['x', 'codes', 'scale'],
  optional: ['scaleCodes', 'scaleOffset', 'high', 'min', 'minCodes'],
  infer: ({ x, ...packed }, attrs) => {
    accepts('matmulQuantized', 'x', x, ['f32']);
    const rows = checkPacked('matmulQuantized', packed, attrs);
    if (attrs.compute !== undefined && attrs.compute !== 'int8')
      throw new PeftError('bad-option', `matmulQuantized: compute is 'int8' or left out, got ${attrs.compute}`);
    const [depth, width] = attrs.transposed ? [rows, attrs.inDim] : [attrs.inDim, rows];
    if (x.shape.at(-1) !== depth)
      throw shapeError(
        'matmulQuantized',
        [x],
        `the last axis of x must be ${depth}, the matrix being [${rows}, ${attrs.inDim}]`,
      );
    return { shape: [...x.shape.slice(0, -1), width], dtype: 'f32' as const };
  },
  vjp: (t, attrs) => {
    const { dy, codes, scale, scaleCodes = null, scaleOffset = null, high = null, min = null, minCodes = null } = t;
    const back = { ...attrs, transposed: !attrs.transposed };
    return { x: matmulQuantized(dy, codes, scale, scaleCodes, scaleOffset, high, min, minCodes, back) };
  },
  reference: ({ x: given, ...packed }, specs, attrs) => {
    const x = attrs.compute ? given.slice() : given;
    const rows = specs.codes.shape[0]!;
    const whole = attrs.compute && !isWhole(attrs, packed) ? wholeRows(packed, rows, attrs) : null;
    const weight = whole
      ? whole.codes.map((code, i) => code * whole.steps[Math.floor(i / attrs.inDim)]!)
      : unpack(packed, rows, attrs);
    const [depth, width] = [specs.x.shape.at(-1)!, specs.out.shape.at(-1)!];
    const [perColumn, perDepth] = attrs.transposed ? [1, attrs.inDim] : [attrs.inDim, 1];
    if (attrs.compute) {
      // As values they are the same: a code times its scale, taken from the side that holds it.
      const scale = whole?.steps ?? packed.scale;
      for (let from = 0; from < x.length; from += depth) {
        const row = x.slice(from, from + depth);
        const { q, r } = roundRow(attrs.transposed ? row.map((v, n) => Math.fround(v * scale[n]!)) : row);
        x.set(
          q.map((code, n) => (attrs.transposed ? (scale[n] === 0 ? 0 : (code * r) / scale[n]!) : code * r)),
          from,
        );
      }
    }
    return Float64Array.from({ length: sizeOf(specs.out.shape) }, (_, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      let dot = 0;
      for (let d = 0; d < depth; d++) dot += x[row * depth + d]! * weight[column * perColumn + d * perDepth]!;
      return dot;
    });
  },
  flops: ({ x, out }) => 2 * sizeOf(out.shape) * x.shape.at(-1)!,
  samples: [
    ...withX([19], false),
    ...withX([2, 9], true),
    ...withX([1], false).slice(4, 6),
    ...withX([0], false).slice(5, 6),
    ...wholeSamples,
  ],
});
