import { defineOp, type Op, type Sample } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { type Shape, type Spec, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { checkExperts, expertProducts } from './expert-spec.ts';
import { codeAt, type PackedFormat, packedFormats } from './packed-formats.ts';

/** How the matrices are packed, and which way they are used. */
export interface ExpertMatmulPackedAttrs {
  /** A format without upper bits of their own. */
  readonly format: PackedFormat;
  /** Values of a row that share a scale, whole bytes of codes; rows are whole blocks. */
  readonly block: number;
  /** xₙ·W instead of xₙ·Wᵀ. Default false. */
  readonly transpose?: boolean;
}

type Inputs = readonly ['x', 'codes', 'scale', 'index'];

const checkPacking = (codes: Spec, scale: Spec, { format, block }: ExpertMatmulPackedAttrs): void => {
  accepts('expertMatmulPacked', 'codes', codes, ['u8']);
  accepts('expertMatmulPacked', 'scale', scale, ['u8', 'f32']);
  const { lowBits, highBits } = packedFormats[format];
  if (highBits > 0 || !Number.isSafeInteger(block) || block < 1 || (block * lowBits) % 8 > 0)
    throw new PeftError(
      'bad-option',
      `expertMatmulPacked: got blocks of ${block} of ${format}; they must be whole bytes of a format of one plane`,
    );
  const [experts, outDim, blocks] = scale.shape as readonly [number, number, number];
  const wanted: Shape = [experts, outDim, (blocks * block * lowBits) / 8];
  if (scale.shape.length !== 3 || codes.shape.join() !== wanted.join())
    throw shapeError(
      'expertMatmulPacked',
      [codes, scale],
      `scales [experts, outDim, blocks] of ${block} values each take codes [${wanted}]`,
    );
};

/** The experts of some rows, in no order, one of them outside. */
const someExperts = (row: number): number => ((row * 7 + 3) % 5) - 1;

const sample = (
  rows: number,
  [experts, outDim, blocks]: readonly [number, number, number],
  attrs: ExpertMatmulPackedAttrs,
  scale: 'u8' | 'f32' = 'u8',
  index: (row: number) => number = someExperts,
): Sample<Inputs[number], ExpertMatmulPackedAttrs> => {
  const inDim = blocks * attrs.block;
  return {
    shapes: {
      x: [rows, attrs.transpose ? outDim : inDim],
      codes: [experts, outDim, (inDim * packedFormats[attrs.format].lowBits) / 8],
      scale: [experts, outDim, blocks],
      index: [rows],
    },
    dtypes: { codes: 'u8', scale, index: 'i32' },
    ranges: { codes: [0, 256], ...(scale === 'u8' && { scale: [122, 129] }) },
    values: { index },
    attrs,
  };
};

/**
 * Each row times the packed matrix of its expert, which is read as it is stored: yₙ = xₙ·Wₑᵀ with e = index[n], or xₙ·Wₑ with `transpose`. A value of W is the
 * level of its code times the scale of its block: `scale` itself where it is f32, 2^(scale − 127) where it is u8, as in the OCP Microscaling Formats 1.0. x [rows, inDim], codes
 * u8 [experts, outDim, bytes of a row], scale [experts, outDim, blocks of a row] and index i32 [rows] give [rows, outDim]. A row whose expert there is not is zeros.
 * The gradient of x is the product the other way; the matrices have none. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const expertMatmulPacked: Op<'expert_matmul_packed', Inputs, readonly [], ExpertMatmulPackedAttrs> = defineOp({
  name: 'expert_matmul_packed',
  inputs: ['x', 'codes', 'scale', 'index'],
  infer: ({ x, codes, scale, index }, attrs) => {
    accepts('expertMatmulPacked', 'x', x, ['f32']);
    checkExperts('expertMatmulPacked', index, x);
    checkPacking(codes, scale, attrs);
    const [outDim, inDim] = [scale.shape[1]!, scale.shape[2]! * attrs.block];
    const [depth, width] = attrs.transpose ? [outDim, inDim] : [inDim, outDim];
    if (x.shape[1] !== depth)
      throw shapeError('expertMatmulPacked', [x, codes, scale], `rows must be of ${depth} values`);
    return { shape: [x.shape[0]!, width], dtype: 'f32' as const };
  },
  vjp: ({ codes, scale, index, dy }, attrs) => ({
    x: expertMatmulPacked(dy, codes, scale, index, { ...attrs, transpose: !attrs.transpose }),
  }),
  reference: ({ x, codes, scale, index }, specs, { format, block, transpose = false }) => {
    const { levels } = packedFormats[format];
    const [experts, outDim, blocks] = specs.scale.shape as readonly [number, number, number];
    const scaleAt = (i: number): number => (specs.scale.dtype === 'u8' ? 2 ** (scale[i]! - 127) : scale[i]!);
    const valueAt = (i: number): number => levels[codeAt(format, codes, i)]! * scaleAt(Math.floor(i / block));
    return expertProducts(x, index, [experts, outDim, blocks * block], transpose, valueAt);
  },
  flops: ({ x, out }) => 2 * sizeOf(out.shape) * x.shape[1]!,
  samples: [
    sample(7, [3, 4, 1], { format: 'mxfp4', block: 32 }),
    sample(7, [3, 4, 1], { format: 'mxfp4', block: 32, transpose: true }),
    sample(70, [4, 67, 3], { format: 'mxfp4', block: 32 }),
    sample(70, [4, 67, 3], { format: 'mxfp4', block: 32, transpose: true }),
    sample(19, [2, 9, 5], { format: 'nf4', block: 6 }, 'f32', (row) => row % 2),
    sample(9, [3, 5, 3], { format: 'int8', block: 3, transpose: true }, 'f32'),
    sample(1, [2, 65, 2], { format: 'mxfp4', block: 32 }, 'u8', () => 1),
    sample(4, [2, 3, 1], { format: 'mxfp4', block: 32 }, 'u8', () => 5),
    sample(0, [2, 3, 1], { format: 'mxfp4', block: 32 }),
  ],
});
