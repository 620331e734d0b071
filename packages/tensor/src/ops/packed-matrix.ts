import { PeftError } from '../error.ts';
import { type Spec, sameShape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { dynamicMap } from './dynamic-map.ts';
import { codeAt, type PackedFormat, packedFormats } from './packed-formats.ts';

/** How a matrix [outDim, inDim] is packed: each row in blocks of values that share a scale, the last block filled up. */
export interface PackedAttrs {
  readonly format: PackedFormat;
  readonly inDim: number;
  /** Values of a block; even in `nf4`. */
  readonly block: number;
}

/** The inputs that hold a packed matrix. */
export type PackedInputs = readonly ['codes', 'scale'];
/** Those that it has where its scales are packed too. */
export type PackedOptional = readonly ['scaleCodes', 'scaleOffset'];

/** One `T` for each tensor of a packed matrix. */
export interface Packed<T> {
  /** u8 [outDim, bytes of a row] */
  readonly codes: T;
  /** f32 [outDim, blocks of a row]: the scales; where they are packed, f32 [groups]: the scale of each group of 256 of them. */
  readonly scale: T;
  /** u8 [outDim, blocks of a row]: the scales in the dynamic data type, less the offset. */
  readonly scaleCodes?: T;
  /** f32 []: added to the unpacked scales. */
  readonly scaleOffset?: T;
}

/** Packed scales of a group, which share a scale. */
export const scaleGroup = 256;

/** Sizes of a row as it is stored. */
export const packedRow = ({
  format,
  inDim,
  block,
}: PackedAttrs): { readonly blocks: number; readonly bytes: number } => {
  const blocks = Math.ceil(inDim / block);
  return { blocks, bytes: (blocks * block * packedFormats[format].bits) / 8 };
};

/** The number of rows. Throws `bad-shape`, `bad-dtype`, `bad-option` where the parts do not fit each other. */
export const checkPacked = (op: string, packed: Packed<Spec>, attrs: PackedAttrs): number => {
  const { codes, scale, scaleCodes, scaleOffset } = packed;
  const sizes = [attrs.inDim, attrs.block];
  if (!sizes.every((n) => Number.isSafeInteger(n) && n > 0) || (attrs.format === 'nf4' && attrs.block % 2 === 1))
    throw new PeftError(
      'bad-option',
      `${op}: got inDim ${attrs.inDim} and block ${attrs.block} of ${attrs.format}; they must be positive integers, an nf4 block even`,
    );
  accepts(op, 'codes', codes, ['u8']);
  accepts(op, 'scale', scale, ['f32']);
  if (scaleCodes) accepts(op, 'scaleCodes', scaleCodes, ['u8']);
  if (scaleOffset) accepts(op, 'scaleOffset', scaleOffset, ['f32']);
  const { blocks, bytes } = packedRow(attrs);
  const rows = codes.shape[0] ?? 0;
  const groups = [Math.ceil((rows * blocks) / scaleGroup)];
  const fits =
    rows > 0 &&
    sameShape(codes.shape, [rows, bytes]) &&
    sameShape(scale.shape, scaleCodes ? groups : [rows, blocks]) &&
    (scaleCodes === undefined) === (scaleOffset === undefined) &&
    (!scaleCodes || !scaleOffset || (sameShape(scaleCodes.shape, [rows, blocks]) && scaleOffset.shape.length === 0));
  if (!fits)
    throw shapeError(
      op,
      [codes, scale, ...(scaleCodes ? [scaleCodes] : []), ...(scaleOffset ? [scaleOffset] : [])],
      `a row of ${attrs.inDim} in blocks of ${attrs.block} takes codes [rows, ${bytes}] and scale [rows, ${blocks}], ` +
        `or scale [rows·${blocks}/${scaleGroup}], scaleCodes [rows, ${blocks}] and scaleOffset []`,
    );
  return rows;
};

/** The values [outDim, inDim], by the definition. */
export const unpack = (packed: Packed<Float64Array>, rows: number, attrs: PackedAttrs): Float64Array => {
  const { codes, scale, scaleCodes, scaleOffset } = packed;
  const { format, inDim, block } = attrs;
  const { levels } = packedFormats[format];
  const { blocks } = packedRow(attrs);
  const scaleAt = (i: number): number =>
    scaleCodes ? dynamicMap[scaleCodes[i]!]! * scale[Math.floor(i / scaleGroup)]! + scaleOffset![0]! : scale[i]!;
  const out = new Float64Array(sizeOf([rows, inDim]));
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < inDim; column++)
      out[row * inDim + column] =
        levels[codeAt(format, codes, row * blocks * block + column)]! *
        scaleAt(row * blocks + Math.floor(column / block));
  return out;
};
