import { type AttentionTiles, type RowRange, storeFour, type TileSizes, whole } from './attention-tiles.ts';

/** Lanes of a workgroup. */
const lanes = 64;
/** Rows of the other side per tile, and values of headDim per piece. */
const tileSize = 32;
// One vec4 more than the eight of a row, so that neighbouring rows meet different banks.
const pitch = 9;

const piecesOf = (headDim: number): number => Math.ceil(headDim / tileSize);

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
    for (var i = lane; i < ${rows * 8}u; i += ${lanes}u) {
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

/**
 * Tiles for GPUs: 8 x 8 lanes own 8·R rows, and both sides pass through workgroup memory, 14,848 bytes of it at most.
 * Loops of fixed length over small arrays: drivers unroll them, and texts stay short for those that compile slowly.
 */
export const workgroupTiles = ({ own, headDim }: TileSizes): AttentionTiles => {
  const eachRow = (statement: (r: string) => string): string =>
    `\n  for (var r = 0u; r < ${own}u; r++) { ${statement('r')} }`;
  const pieces = piecesOf(headDim);
  return {
    own,
    lanes,
    rows: 8 * own,
    tileSize,
    declarations: `
var<workgroup> xs: array<vec4<f32>, ${8 * own * pitch}>;
var<workgroup> ys: array<vec4<f32>, ${tileSize * pitch}>;
var<workgroup> tile: array<vec4<f32>, ${8 * own * pitch}>;
var<workgroup> joined: array<f32, ${64 * own}>;`,
    builtins: '',
    place: `
  let tx = lane % 8u;
  let ty = lane / 8u;`,
    eachRow,
    shareRows: (value) => `${eachRow((r) => `joined[(ty * ${own}u + ${r}) * 8u + tx] = ${value(r)};`)}
  workgroupBarrier();`,
    joinRow: (into, op, r) => {
      const other = `joined[(ty * ${own}u + ${r}) * 8u + i]`;
      return `for (var i = 0u; i < 8u; i++) { ${into} = ${op === 'max' ? `max(${into}, ${other})` : `${into} + ${other}`}; }`;
    },
    product: (name, x, y) => `
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
  }`,
    declareSums: (name) => `
  var ${name} = array<vec4<f32>, ${own * pieces}>();`,
    scaleSums: (name, r, factor) =>
      `for (var i = 0u; i < ${pieces}u; i++) { ${name}[${r} * ${pieces}u + i] *= ${factor}; }`,
    // Ends with a barrier.
    apply: (name, weights, y) => `
  for (var r = 0u; r < ${own}u; r++) { tile[(ty * ${own}u + r) * ${pitch}u + tx] = ${weights}[r]; }
  for (var i = 0u; i < ${pieces}u; i++) {
    let piece = i * ${tileSize}u;${loadPiece('ys', tileSize, y, 'piece', headDim)}
    workgroupBarrier();
    for (var j = 0u; j < 8u; j++) {
      let y0 = ys[j * ${pitch}u + tx];
      let y1 = ys[(j + 8u) * ${pitch}u + tx];
      let y2 = ys[(j + 16u) * ${pitch}u + tx];
      let y3 = ys[(j + 24u) * ${pitch}u + tx];
      for (var r = 0u; r < ${own}u; r++) {
        let weight = tile[(ty * ${own}u + r) * ${pitch}u + j];
        ${name}[r * ${pieces}u + i] += weight.x * y0 + weight.y * y1 + weight.z * y2 + weight.w * y3;
      }
    }
    workgroupBarrier();
  }`,
    storeSums: (name, { buffer, base, first, end }) => `
  for (var r = 0u; r < ${own}u; r++) {
    let row = ${first} + ty * ${own}u + r;
    for (var i = 0u; i < ${pieces}u; i++) {
      let d = i * ${tileSize}u + tx * 4u;
      if (row >= ${end} || d >= ${headDim}u) { continue; }
      let at = ${base} + row * p.${buffer}_row + d;
      let value = ${name}[r * ${pieces}u + i];
      ${storeFour(buffer, headDim)}
    }
  }`,
  };
};
