import type { DeviceFacts } from '../kernel.ts';
import type { MatmulProblem, MatmulSide, MatmulVariant } from './matmul-problem.ts';
import { times } from './times.ts';

/** Depths whose products, each of a whole number of at most 127 and one of at most 128 in size, add up within an i32. */
export const mostWholeDepth: number = Math.floor((2 ** 31 - 1) / (127 * 128));

/** Whether a side is whole numbers of 8 bits in whole words, with one scale for a stored row or none. */
const isWholeSide = ({ packing, pitch = 0, offset = 0, batchStrides = [] }: MatmulSide): boolean =>
  packing?.format === 'sint8' &&
  !packing.hasMin &&
  (packing.scales === undefined || packing.block === pitch) &&
  batchStrides.length === 0 &&
  pitch % 4 === 0 &&
  offset % 4 === 0;

/**
 * Whether a product is one of whole numbers: both sides in `sint8`, rows of a along the depth and filled up with zeros to whole words, scales of b, if any, those of its columns,
 * and sums that fit an i32.
 */
export const isWhole = ({ a, b, n, k, limit, batch = [] }: MatmulProblem): boolean =>
  isWholeSide(a) &&
  isWholeSide(b) &&
  a.packing?.scales !== undefined &&
  !a.transposed &&
  (b.transposed ? k % 4 === 0 : b.packing?.scales === undefined && n % 4 === 0) &&
  !limit &&
  batch.length === 0 &&
  k <= mostWholeDepth;

/**
 * `four_b(w, n)`: for each of four columns from the n-th, four depths from the 4·w-th in a word. Where b lies by depth, four words hold those of four depths and are turned:
 * a byte of each goes to one column. Beyond the edges the last ones are repeated: a holds zeros there, or nothing is stored.
 */
const fourColumns = (alongDepth: boolean): string =>
  alongDepth
    ? `
fn four_b(base: u32, w: u32, n: u32) -> vec4<u32> {
  let at = ((vec4<u32>(base) + min(vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.n - 1u)) * p.bColumn) >> vec4<u32>(2u)) + vec4<u32>(w);
  return vec4<u32>(b[at.x], b[at.y], b[at.z], b[at.w]);
}`
    : `
fn four_b(base: u32, w: u32, n: u32) -> vec4<u32> {
  let depths = min(vec4<u32>(4u * w) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.k - 1u));
  let at = (vec4<u32>(base + min(n, p.n - 4u)) + depths * p.bRow) >> vec4<u32>(2u);
  let rows = vec4<u32>(b[at.x], b[at.y], b[at.z], b[at.w]);
  let even = rows & vec4<u32>(0x00ff00ffu);
  let odd = (rows >> vec4<u32>(8u)) & vec4<u32>(0x00ff00ffu);
  let e = even.xz | (even.yw << vec2<u32>(8u));
  let o = odd.xz | (odd.yw << vec2<u32>(8u));
  return vec4<u32>((e.x & 0xffffu) | (e.y << 16u), (o.x & 0xffffu) | (o.y << 16u), (e.x >> 16u) | (e.y & 0xffff0000u), (o.x >> 16u) | (o.y & 0xffff0000u));
}`;

const declarations = ({ b }: MatmulProblem): string => `${fourColumns(b.transposed ?? false)}
fn scaled(sum: i32, a_at: u32, b_at: u32) -> f32 {
  return f32(sum)${b.packing?.scales ? ' * b_scales[b_at / p.bBlock]' : ''} * a_scales[a_at / p.aBlock];
}
fn dots(x: u32, y: vec4<u32>) -> vec4<i32> {
  return vec4<i32>(dot4I8Packed(x, y.x), dot4I8Packed(x, y.y), dot4I8Packed(x, y.z), dot4I8Packed(x, y.w));
}`;

/** A statement that stores a sum, of the row and the column that expressions give. */
const stored = (m: string, n: string, sum: string): string =>
  `store(outBase, ${m}, ${n}, scaled(${sum}, aBase + (${m}) * p.aRow, bBase + (${n}) * p.bColumn));`;

/** One invocation computes rows x 4 outputs straight from storage, as `registersVariant`: 16 multiply-adds of whole numbers for five words and a row. */
export const wholeRegisters = (problem: MatmulProblem, rows: number): MatmulVariant => ({
  name: `whole-registers-${rows}`,
  rows,
  columns: 4,
  perGroup: 64,
  lanes: 64,
  declarations: declarations(problem),
  body: `
${times(rows, (r) => `  let a${r} = (aBase + min(m0 + ${r}u, rows - 1u) * p.aRow) >> 2u;\n  var c${r} = vec4<i32>();`).join('\n')}
  for (var w = k0 / 4u; 4u * w < k1; w++) {
    let y = four_b(bBase, w, n0);
${times(rows, (r) => `    c${r} += dots(a[a${r} + w], y);`).join('\n')}
  }
  let sums = array<vec4<i32>, ${rows}>(${times(rows, (r) => `c${r}`).join(', ')});
  for (var i = 0u; i < ${4 * rows}u; i++) {
    let m = m0 + i / 4u;
    let n = n0 + i % 4u;
    if (m < rows && n < p.n) { ${stored('m', 'n', 'sums[i / 4u][i % 4u]')} }
  }`,
});

/** Words of depth of a piece in workgroup memory. */
const words = 8;

const tiles = { 64: { lanes: 128, rowVectors: 2 }, 32: { lanes: 64, rowVectors: 1 } } as const;

/**
 * Square tiles of whole numbers: a workgroup computes a square of outputs from pieces of 32 depths, four to a word, in workgroup memory. Of 64 (32): 4 KiB (2), for each four depths
 * 3 vec4 loads of it (2) for 128 multiply-adds (64), 32 sums (16) in registers. b that lies by depth is turned as it is loaded.
 */
export const wholeTile = (problem: MatmulProblem, size: 64 | 32): MatmulVariant => {
  const { lanes, rowVectors } = tiles[size];
  const across = size / 4;
  const rows = 4 * rowVectors;
  const alongDepth = problem.b.transposed ?? false;
  // Neighbouring lanes read neighbouring words: along the depth, or along the columns where b lies by depth.
  const place = (byDepth: boolean): string =>
    byDepth
      ? `{ let w = lane % ${words}u; let r = lane / ${words}u;`
      : `{ let r = lane % ${across}u; let w = lane / ${across}u;`;
  return {
    name: `whole-${size}`,
    rows: size,
    columns: size,
    perGroup: 1,
    lanes,
    declarations: `${declarations(problem)}
fn four_a(base: u32, w: u32, m: u32) -> vec4<u32> {
  let at = ((vec4<u32>(base) + min(vec4<u32>(m) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.m - 1u)) * p.aRow) >> vec4<u32>(2u)) + vec4<u32>(w);
  return vec4<u32>(a[at.x], a[at.y], a[at.z], a[at.w]);
}
var<workgroup> tile_a: array<vec4<u32>, ${(words * size) / 4}>;
var<workgroup> tile_b: array<vec4<u32>, ${(words * size) / 4}>;`,
    body: `
  let line = lane / ${across}u * ${rowVectors}u;
  let column = lane % ${across}u;
${times(rows, (r) => `  var c${r} = vec4<i32>();`).join('\n')}
  for (var k = k0; k < k1; k += ${4 * words}u) {
    ${place(true)}
      var four = vec4<u32>();
      if (k + 4u * w < k1) { four = four_a(aBase, k / 4u + w, m0 + 4u * r); }
      tile_a[w * ${across}u + r] = four;
    }
    ${place(alongDepth)}
      var four = vec4<u32>();
      if (k + 4u * w < k1) { four = four_b(bBase, k / 4u + w, n0 + 4u * r); }
      tile_b[w * ${across}u + r] = four;
    }
    workgroupBarrier();
    for (var w = 0u; w < ${words}u; w++) {
      let y = tile_b[w * ${across}u + column];
${times(rowVectors, (v) => `      let x${v} = tile_a[w * ${across}u + line + ${v}u];`).join('\n')}
${times(rows, (r) => `      c${r} += dots(x${Math.floor(r / 4)}[${r % 4}], y);`).join('\n')}
    }
    workgroupBarrier();
  }
  let sums = array<vec4<i32>, ${rows}>(${times(rows, (r) => `c${r}`).join(', ')});
  for (var i = 0u; i < ${4 * rows}u; i++) {
    let m = m0 + 4u * line + i / 4u;
    let n = n0 + 4u * column + i % 4u;
    if (m < rows && n < p.n) { ${stored('m', 'n', 'sums[i / 4u][i % 4u]')} }
  }`,
  };
};

/** Whether a device has the workgroup memory and the invocations for a tile. */
export const fitsWholeTile = (size: 64 | 32, { workgroupMemory, maxInvocations }: DeviceFacts): boolean =>
  2 * words * size * 4 <= workgroupMemory && tiles[size].lanes <= maxInvocations;
