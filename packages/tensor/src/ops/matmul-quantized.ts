import { defineOp, type Op, type Sample } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { checkPacked, type PackedAttrs, type PackedInputs, type PackedOptional, unpack } from './packed-matrix.ts';
import { packedSamples } from './packed-samples.ts';

/** How W is packed, and which way it is used. */
export interface MatmulQuantizedAttrs extends PackedAttrs {
  /** x·W instead of x·Wᵀ. Default false. */
  readonly transposed?: boolean;
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

/**
 * x·Wᵀ over the last axis, or x·W where `transposed`, of a packed W [outDim, inDim] (see `dequantize`), read as it is stored: it never
 * exists in f32 as a whole beyond this product. x f32 [..., inDim] -> [..., outDim], transposed the other way. The gradient of x is the
 * transposed product; W gets none. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const matmulQuantized: Op<'matmul_quantized', Inputs, PackedOptional, MatmulQuantizedAttrs> = defineOp({
  name: 'matmul_quantized',
  inputs: ['x', 'codes', 'scale'],
  optional: ['scaleCodes', 'scaleOffset', 'high', 'min', 'minCodes'],
  infer: ({ x, ...packed }, attrs) => {
    accepts('matmulQuantized', 'x', x, ['f32']);
    const rows = checkPacked('matmulQuantized', packed, attrs);
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
  reference: ({ x, ...packed }, specs, attrs) => {
    const rows = specs.codes.shape[0]!;
    const weight = unpack(packed, rows, attrs);
    const [depth, width] = [specs.x.shape.at(-1)!, specs.out.shape.at(-1)!];
    const [perColumn, perDepth] = attrs.transposed ? [1, attrs.inDim] : [attrs.inDim, 1];
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
  ],
});
