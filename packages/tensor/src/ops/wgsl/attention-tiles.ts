/**
 * WGSL pieces of the attention kernels. A workgroup of 8 x 8 lanes (`tx`, `ty`) owns 8·R rows; each lane owns R of them, and of a tile
 * of 32 others the columns tx, tx + 8, tx + 16, tx + 24. Accumulators hold 4 neighbouring values of headDim per 32.
 */

/** Lanes of a workgroup. */
export const attentionLanes = 64;
/** Rows of the other side per tile, and values of headDim per piece. */
export const tileSize = 32;
const pitch = 9;
const tilePitch = tileSize + 1;

/** Rows of a [rows, headDim] matrix in a buffer: WGSL of its base element, the first row and the end. */
export interface RowRange {
  readonly buffer: string;
  readonly base: string;
  readonly first: string;
  readonly end: string;
}

const times = (n: number, f: (i: number) => string, separator = '\n'): string => Array.from({ length: n }, (_, i) => f(i)).join(separator);

/** Lines for each of the lane's own rows. */
export const eachOwnRow = (own: number, line: (r: number) => string): string => times(own, line);

/** Workgroup memory of the pieces below; 14,464 bytes at most. */
export const tileDeclarations = (own: number): string => `
var<workgroup> xs: array<vec4<f32>, ${8 * own * pitch}>;
var<workgroup> ys: array<vec4<f32>, ${tileSize * pitch}>;
var<workgroup> tile: array<f32, ${8 * own * tilePitch}>;
var<workgroup> joined: array<f32, ${64 * own}>;`;

const loadPiece = (into: 'xs' | 'ys', rows: number, { buffer, base, first, end }: RowRange, piece: string, headDim: number): string => {
  const part = (c: number): string => (headDim % 4 === 0 ? `${buffer}[at + ${c}u]` : `select(0.0, ${buffer}[at + ${c}u], d + ${c}u < ${headDim}u)`);
  return `
    for (var i = lane; i < ${rows * 8}u; i += ${attentionLanes}u) {
      let row = ${first} + i / 8u;
      let d = ${piece} + (i % 8u) * 4u;
      var value = vec4<f32>();
      if (row < ${end} && d < ${headDim}u) {
        let at = ${base} + row * ${headDim}u + d;
        value = vec4<f32>(${times(4, part, ', ')});
      }
      ${into}[(i / 8u) * ${pitch}u + i % 8u] = value;
    }`;
};

/** Declares `name`0…: for each own row the products with the tile's rows, Σ_d x·y, at the lane's four columns. */
export const tileProduct = (name: string, own: number, x: RowRange, y: RowRange, headDim: number): string => `
${times(own, (r) => `  var ${name}${r} = vec4<f32>();`)}
  for (var piece = 0u; piece < ${headDim}u; piece += ${tileSize}u) {${loadPiece('xs', 8 * own, x, 'piece', headDim)}${loadPiece('ys', tileSize, y, 'piece', headDim)}
    workgroupBarrier();
    for (var d = 0u; d < 8u; d++) {
${times(4, (c) => `      let y${c} = ys[(tx + ${8 * c}u) * ${pitch}u + d];`)}
${times(own, (r) => `      let x${r} = xs[(ty * ${own}u + ${r}u) * ${pitch}u + d];\n      ${name}${r} += vec4<f32>(${times(4, (c) => `dot(x${r}, y${c})`, ', ')});`)}
    }
    workgroupBarrier();
  }`;

/** Writes the lane's values of `name`0… to the tile, for `tileApply`. */
export const storeTile = (name: string, own: number): string =>
  times(own, (r) => times(4, (c) => `    tile[(ty * ${own}u + ${r}u) * ${tilePitch}u + tx + ${8 * c}u] = ${name}${r}[${c}];`));

const piecesOf = (headDim: number): number => Math.ceil(headDim / tileSize);

/** Accumulators of one value per own row and headDim. */
export const declareSums = (name: string, own: number, headDim: number): string =>
  times(own, (r) => times(piecesOf(headDim), (i) => `  var ${name}${r}_${i} = vec4<f32>();`));

/** Multiplies the accumulators of each own row by `factor`0…. */
export const scaleSums = (name: string, own: number, headDim: number, factor: string): string =>
  times(own, (r) => times(piecesOf(headDim), (i) => `    ${name}${r}_${i} *= ${factor}${r};`));

/** Adds tile · y to the accumulators. Ends with a barrier, so the tile may be written again. */
export const tileApply = (name: string, own: number, y: RowRange, headDim: number): string =>
  times(
    piecesOf(headDim),
    (i) => `${loadPiece('ys', tileSize, y, `${i * tileSize}u`, headDim)}
    workgroupBarrier();
    for (var j = 0u; j < ${tileSize}u; j++) {
      let y = ys[j * ${pitch}u + tx];
${times(own, (r) => `      ${name}${r}_${i} += tile[(ty * ${own}u + ${r}u) * ${tilePitch}u + j] * y;`)}
    }
    workgroupBarrier();`,
  );

/** Stores the accumulators as rows of an output. */
export const storeSums = (name: string, own: number, { buffer, base, first, end }: RowRange, headDim: number): string =>
  times(
    own,
    (r) => `  if (${first} + ty * ${own}u + ${r}u < ${end}) {
    let at = ${base} + (${first} + ty * ${own}u + ${r}u) * ${headDim}u + tx * 4u;
${times(piecesOf(headDim), (i) =>
  times(4, (c) => {
    const store = `${buffer}[at + ${i * tileSize + c}u] = ${name}${r}_${i}[${c}];`;
    return i * tileSize + 28 + c < headDim ? `    ${store}` : `    if (tx * 4u + ${i * tileSize + c}u < ${headDim}u) { ${store} }`;
  }),
)}
  }`,
  );

/** `fn sees(b, t, s, shift)`: whether query t of batch b sees key s. */
export const seesFunction = (causal: boolean, masked: boolean): string => `
fn sees(b: u32, t: u32, s: u32, shift: i32) -> bool {
  return t < p.queries && s < p.keys${causal ? ' && i32(s) <= i32(t) + shift' : ''}${masked ? ' && keyMask[b * p.keys + s] > 0.5' : ''};
}`;
