import type { Binding, KernelIo } from '../../kernel.ts';
import { type Spec, stridesOf } from '../../shape.ts';

/**
 * WGSL pieces of the attention kernels. A workgroup of 8 x 8 lanes (`tx`, `ty`) owns 8·R rows of one side, R = `own` per lane, and meets
 * the other side in tiles of 32 rows, of which a lane takes 4·tx to 4·tx + 3. Sums hold 4 values of headDim per lane and piece of 32.
 * Loops of fixed length over small arrays: drivers unroll them, and texts stay short for those that compile slowly.
 */

/** Lanes of a workgroup. */
export const attentionLanes = 64;
/** Rows of the other side per tile, and values of headDim per piece. */
export const tileSize = 32;
// One vec4 more than the eight of a row, so that neighbouring rows meet different banks.
const pitch = 9;

/** Rows of headDim values in a buffer: WGSL of the element where its head begins, the first row and the end. */
export interface RowRange {
  readonly buffer: string;
  readonly base: string;
  readonly first: string;
  readonly end: string;
}

/** What the shapes say: rows per lane, and values per row. */
export interface TileSizes {
  readonly own: number;
  readonly headDim: number;
}

const whole = (headDim: number): boolean => headDim % 4 === 0;
const piecesOf = (headDim: number): number => Math.ceil(headDim / tileSize);

/** Binds rows of headDim values: as vec4 where they divide by four. */
export const rowsBinding = (buffer: string, access: Binding['access'], headDim: number): Binding => ({
  buffer,
  access,
  element: whole(headDim) ? 'vec4<f32>' : 'f32',
});

/** Workgroup memory of the pieces below; 14,848 bytes at most. */
export const tileDeclarations = ({ own }: TileSizes): string => `
var<workgroup> xs: array<vec4<f32>, ${8 * own * pitch}>;
var<workgroup> ys: array<vec4<f32>, ${tileSize * pitch}>;
var<workgroup> tile: array<vec4<f32>, ${8 * own * pitch}>;
var<workgroup> joined: array<f32, ${64 * own}>;`;

/** Copies 32 values each of some rows. In `ys`, row 4·a + c lies at 8·c + a: the rows of neighbouring lanes are neighbours. */
const loadPiece = (
  into: 'xs' | 'ys',
  rows: number,
  { buffer, base, first, end }: RowRange,
  piece: string,
  headDim: number,
): string => {
  const parts = [0, 1, 2, 3].map((c) => `select(0.0, ${buffer}[at + ${c}u], d + ${c}u < ${headDim}u)`);
  const slot = into === 'ys' ? '((i / 8u) % 4u * 8u + i / 32u)' : '(i / 8u)';
  return `
    for (var i = lane; i < ${rows * 8}u; i += ${attentionLanes}u) {
      let row = ${first} + i / 8u;
      let d = ${piece} + (i % 8u) * 4u;
      var value = vec4<f32>();
      if (row < ${end} && d < ${headDim}u) {
        let at = ${base} + row * p.${buffer}_row + d;
        value = ${whole(headDim) ? `${buffer}[at / 4u]` : `vec4<f32>(${parts.join(', ')})`};
      }
      ${into}[${slot} * ${pitch}u + i % 8u] = value;
    }`;
};

/** Declares `name`: for each own row the products with the lane's four rows of the tile, Σ_d x·y. */
export const tileProduct = (name: string, { own, headDim }: TileSizes, x: RowRange, y: RowRange): string => `
  var ${name} = array<vec4<f32>, ${own}>();
  for (var piece = 0u; piece < ${headDim}u; piece += ${tileSize}u) {${loadPiece('xs', 8 * own, x, 'piece', headDim)}${loadPiece('ys', tileSize, y, 'piece', headDim)}
    workgroupBarrier();
    for (var d = 0u; d < 8u; d++) {
      let y0 = ys[tx * ${pitch}u + d];
      let y1 = ys[(tx + 8u) * ${pitch}u + d];
      let y2 = ys[(tx + 16u) * ${pitch}u + d];
      let y3 = ys[(tx + 24u) * ${pitch}u + d];
      for (var r = 0u; r < ${own}u; r++) {
        let x = xs[(ty * ${own}u + r) * ${pitch}u + d];
        ${name}[r] += vec4<f32>(dot(x, y0), dot(x, y1), dot(x, y2), dot(x, y3));
      }
    }
    workgroupBarrier();
  }`;

/** Declares sums of one value per own row and headDim. */
export const declareSums = (name: string, { own, headDim }: TileSizes): string => `
  var ${name} = array<vec4<f32>, ${own * piecesOf(headDim)}>();`;

/** Multiplies the sums of own row `r` by `factor`, WGSL inside a loop over `r`. */
export const scaleSums = (name: string, { headDim }: TileSizes, factor: string): string =>
  `for (var i = 0u; i < ${piecesOf(headDim)}u; i++) { ${name}[r * ${piecesOf(headDim)}u + i] *= ${factor}; }`;

/** Adds weights · y to the sums, where a lane holds the weights of its rows and its four rows of the tile. Ends with a barrier. */
export const tileApply = (name: string, weights: string, { own, headDim }: TileSizes, y: RowRange): string => `
  for (var r = 0u; r < ${own}u; r++) { tile[(ty * ${own}u + r) * ${pitch}u + tx] = ${weights}[r]; }
  for (var i = 0u; i < ${piecesOf(headDim)}u; i++) {
    let piece = i * ${tileSize}u;${loadPiece('ys', tileSize, y, 'piece', headDim)}
    workgroupBarrier();
    for (var j = 0u; j < 8u; j++) {
      let y0 = ys[j * ${pitch}u + tx];
      let y1 = ys[(j + 8u) * ${pitch}u + tx];
      let y2 = ys[(j + 16u) * ${pitch}u + tx];
      let y3 = ys[(j + 24u) * ${pitch}u + tx];
      for (var r = 0u; r < ${own}u; r++) {
        let weight = tile[(ty * ${own}u + r) * ${pitch}u + j];
        ${name}[r * ${piecesOf(headDim)}u + i] += weight.x * y0 + weight.y * y1 + weight.z * y2 + weight.w * y3;
      }
    }
    workgroupBarrier();
  }`;

/** Stores the sums as rows of an output. */
export const storeSums = (
  name: string,
  { own, headDim }: TileSizes,
  { buffer, base, first, end }: RowRange,
): string => `
  for (var r = 0u; r < ${own}u; r++) {
    let row = ${first} + ty * ${own}u + r;
    for (var i = 0u; i < ${piecesOf(headDim)}u; i++) {
      let d = i * ${tileSize}u + tx * 4u;
      if (row >= ${end} || d >= ${headDim}u) { continue; }
      let at = ${base} + row * p.${buffer}_row + d;
      let value = ${name}[r * ${piecesOf(headDim)}u + i];
      ${
        whole(headDim)
          ? `${buffer}[at / 4u] = value;`
          : `${buffer}[at] = value.x;\n      ${[1, 2, 3].map((c) => `if (d + ${c}u < ${headDim}u) { ${buffer}[at + ${c}u] = value[${c}]; }`).join('\n      ')}`
      }
    }
  }`;

/** Rows of a buffer [batch, heads, queries, headDim], of the head `head` counted over batches, in batch `b`. */
export const queryRows = (buffer: string, first: string): RowRange => ({
  buffer,
  base: `b * p.${buffer}_batch + (head % p.heads) * p.${buffer}_head`,
  first,
  end: 'p.queries',
});

/** Rows of a buffer [batch, groups, keys, headDim], of the head `keyGroup` in batch `b`. */
export const keyRows = (buffer: string, first: string): RowRange => ({
  buffer,
  base: `b * p.${buffer}_batch + keyGroup * p.${buffer}_head`,
  first,
  end: 'p.keys',
});

/** The parameters by which rows of a buffer are found, however its outer axes lie. */
export const rowParams = (buffer: string, spec: Spec, { strides }: KernelIo<string>): Record<string, number> => {
  const [batch, head, row] = strides?.[buffer] ?? stridesOf(spec.shape);
  return { [`${buffer}_batch`]: batch!, [`${buffer}_head`]: head!, [`${buffer}_row`]: row! };
};
