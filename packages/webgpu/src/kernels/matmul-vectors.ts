import type { DeviceFacts } from '../kernel.ts';
import type { MatmulVariant } from './matmul-problem.ts';
import { times } from './times.ts';

/** Depths of a piece in workgroup memory. */
const depth = 16;

/** A square tile: its side, and how many vec4s of rows and of columns an invocation computes. */
export interface VectorTile {
  readonly size: 32 | 64 | 128;
  readonly rowVectors: number;
  readonly columnVectors: number;
}

/** The tiles, by their side: 4 x 4, 8 x 4 and 8 x 8 outputs for each of 64, 128 and 256 invocations. */
export const vectorTiles: readonly VectorTile[] = [
  { size: 64, rowVectors: 2, columnVectors: 1 },
  { size: 32, rowVectors: 1, columnVectors: 1 },
  { size: 128, rowVectors: 2, columnVectors: 2 },
];

const lanesOf = ({ size, rowVectors, columnVectors }: VectorTile): number =>
  (size / 4 / rowVectors) * (size / 4 / columnVectors);

/** Whether a device has the workgroup memory and the invocations for a tile of elements of so many bytes. */
export const fitsVectorTile = (
  tile: VectorTile,
  { workgroupMemory, maxInvocations }: DeviceFacts,
  bytes: 2 | 4,
): boolean => 2 * depth * tile.size * bytes <= workgroupMemory && lanesOf(tile) <= maxInvocations;

/** Which sides are stored as columns by rows. */
export interface Sides {
  readonly aTransposed: boolean;
  readonly bTransposed: boolean;
}

/** A frozen matrix is multiplied by this before it is rounded to f16, so that small values keep their bits: from 4·10⁻⁶ on, whatever a device makes of f16's subnormals. */
const halfWeightFactor = 16;

/** `fn unfactored(sum: f32, m: u32) -> f32`: the sum without the factors of both sides, by exact powers of two; no number where it is not finite. */
const unfactor = `
fn unfactored(sum: f32, m: u32) -> f32 {
  let value = sum * bitcast<f32>(0x7f000000u - bitcast<u32>(factors[p.firstFactor + m])) * ${1 / halfWeightFactor};
  return select(value, bitcast<f32>(p.nan), (bitcast<u32>(sum) & 0x7f800000u) == 0x7f800000u);
}`;

/**
 * Copies a [size, 16] piece of a side to workgroup memory as [depth][row / 4]: each lane takes a block of 4 x 4 by four vector loads, turned
 * where neighbours in memory are neighbours in depth.
 */
const load = (side: 'a' | 'b', alongDepth: boolean, size: number, half: boolean): string => {
  const [first, end, whole] = side === 'a' ? ['m0', 'rows', 'p.m'] : ['n0', 'p.n', 'p.n'];
  const pitch = (side === 'a') === alongDepth ? `p.${side}Row` : `p.${side}Column`;
  const vector = `vec4<${half ? 'f16' : 'f32'}>`;
  // Exact powers of two that bring values to f16's range.
  const factor = (j: number): string =>
    side === 'b' ? ` * ${halfWeightFactor}.0` : ` * factors[p.firstFactor + row + ${j}u]`;
  const fetched = (j: number, test: string, at: string): string =>
    `var v${j} = ${vector}(); if (${test}) { v${j} = ${vector}(at4_${side}(${side}Base + ${at})${half ? factor(j) : ''}); }`;
  if (alongDepth)
    return `
      let d = (block % ${depth / 4}u) * 4u;
      let r = block / ${depth / 4}u;
      let row = ${first} + 4u * r;
${times(4, (j) => `      ${fetched(j, `row + ${j}u < ${end} && k + d < k1`, `(row + ${j}u) * ${pitch} + k + d`)}`).join('\n')}
${times(4, (c) => `      tile_${side}[(d + ${c}u) * ${size / 4}u + r] = ${vector}(${times(4, (j) => `v${j}[${c}]`).join(', ')});`).join('\n')}`;
  return `
      let r = block % ${size / 4}u;
      let d = (block / ${size / 4}u) * 4u;
      let row = ${first} + 4u * r;
${times(
  4,
  (j) => `      ${fetched(j, `row < ${whole} && k + d + ${j}u < k1`, `row + (k + d + ${j}u) * ${pitch}`)}
      tile_${side}[(d + ${j}u) * ${size / 4}u + r] = v${j};`,
).join('\n')}`;
};

/**
 * A product by square tiles that are read as vec4s. `half` says whether workgroup memory holds f16: rows of a times their factors, and b times `halfWeightFactor`, which
 * are taken out of the sums again; a sum that has left f16's range is stored as no number. `multiply` has the statements that add the
 * products of a piece to the sums `c<row>_<column vector>`, from `tile_a` and `tile_b`.
 */
export const vectorTile = (
  name: string,
  tile: VectorTile,
  { aTransposed, bTransposed }: Sides,
  half: boolean,
  multiply: string,
): MatmulVariant => {
  const { size, rowVectors, columnVectors } = tile;
  const lanes = lanesOf(tile);
  const element = half ? 'f16' : 'f32';
  const [rows, across] = [4 * rowVectors, size / 4 / columnVectors];
  const sums = times(rows, (r) => times(columnVectors, (v) => `c${r}_${v}`)).flat();
  return {
    name: `${name}-${size}`,
    rows: size,
    columns: size,
    perGroup: 1,
    lanes,
    vectors: true,
    half,
    declarations: `${half ? `enable f16;${unfactor}` : ''}
var<workgroup> tile_a: array<vec4<${element}>, ${(depth * size) / 4}>;
var<workgroup> tile_b: array<vec4<${element}>, ${(depth * size) / 4}>;`,
    // The stores are a loop, so that what other ops compute on a value as it is stored is compiled once.
    body: `
  let block = lane % ${lanes / 2}u;
  let column = lane % ${across}u;
  let line = lane / ${across}u * ${rowVectors}u;
${sums.map((c) => `  var ${c} = vec4<f32>();`).join('\n')}
  for (var k = k0; k < k1; k += ${depth}u) {
    if (lane < ${lanes / 2}u) {${load('a', !aTransposed, size, half)}
    } else {${load('b', bTransposed, size, half)}
    }
    workgroupBarrier();
${multiply}
    workgroupBarrier();
  }
  let sums = array<vec4<f32>, ${sums.length}>(${sums.join(', ')});
  for (var i = 0u; i < ${4 * sums.length}u; i++) {
    let m = m0 + 4u * line + i / ${4 * columnVectors}u;
    let n = n0 + 4u * (column + ${across}u * (i / 4u % ${columnVectors}u)) + i % 4u;
    if (m < rows && n < p.n) { store(outBase, m, n, ${half ? 'unfactored(sums[i / 4u][i % 4u], m)' : 'sums[i / 4u][i % 4u]'}); }
  }`,
  };
};

/** Statements that load the vectors of rows `x<i>` and of columns `y<v>` at depth `d`. */
export const loadVectors = ({ size, rowVectors, columnVectors }: VectorTile, d: string): string =>
  [
    ...times(rowVectors, (i) => `let x${i} = tile_a[(${d}) * ${size / 4}u + line + ${i}u];`),
    ...times(
      columnVectors,
      (v) => `let y${v} = tile_b[(${d}) * ${size / 4}u + column + ${(size / 4 / columnVectors) * v}u];`,
    ),
  ].join(' ');

/** A statement for each sum of an invocation. */
export const eachSum = (
  { rowVectors, columnVectors }: VectorTile,
  statement: (sum: string, x: string, y: string) => string,
): string =>
  times(4 * rowVectors, (r) =>
    times(columnVectors, (v) => statement(`${r}_${v}`, `x${Math.floor(r / 4)}[${r % 4}]`, `y${v}`)),
  )
    .flat()
    .join('\n');

/**
 * Square tiles in f32, where both sides are read four elements at a time. Per piece of 16 depths a lane makes 4 loads of vec4 from storage.
 * With a side of 32, 64, 128: workgroup memory 4, 8, 16 KiB; for each depth 2, 3, 4 vec4 loads of it for 16, 32, 64 multiply-adds
 * (0.5, 0.38, 0.25 words each); 16, 32, 64 sums in registers, and 8, 12, 16 for operands.
 */
export const vectorsVariant = (tile: VectorTile, sides: Sides): MatmulVariant =>
  vectorTile(
    'vectors',
    tile,
    sides,
    false,
    `    for (var d = 0u; d < ${depth}u; d++) {
      ${loadVectors(tile, 'd')}
${eachSum(tile, (c, x, y) => `      c${c} += ${x} * ${y};`)}
    }`,
  );
