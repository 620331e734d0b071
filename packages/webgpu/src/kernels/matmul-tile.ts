import type { DeviceFacts } from '../kernel.ts';
import type { MatmulVariant } from './matmul-problem.ts';
import type { Sides } from './matmul-vectors.ts';
import { times } from './times.ts';

const depth = 16;

/** The side of a tile; an invocation computes 8 x 4 of 64 x 64 outputs, or 4 x 4 of 32 x 32. */
export type TileSize = 64 | 32;

const shapes = { 64: { lanes: 128, rowsPerLane: 8 }, 32: { lanes: 64, rowsPerLane: 4 } } as const;

/** One more than the tile, so that a column of stores meets different banks. */
const pitchOf = (size: TileSize): number => size + 1;

/** Whether a device has the workgroup memory and the invocations for a tile. */
export const fitsTile = (size: TileSize, { workgroupMemory, maxInvocations }: DeviceFacts): boolean =>
  2 * depth * pitchOf(size) * 4 <= workgroupMemory && shapes[size].lanes <= maxInvocations;

/** Copies a [size, 16] piece to workgroup memory as [depth][row]; neighbouring lanes read neighbouring elements. */
const load = (side: 'a' | 'b', contiguousDepth: boolean, size: TileSize): string => {
  const [row, column] = side === 'a' ? ['p.aRow', 'p.aColumn'] : ['p.bColumn', 'p.bRow'];
  const [first, end] = side === 'a' ? ['m0', 'rows'] : ['n0', 'p.n'];
  return `
    for (var i = lane; i < ${size * depth}u; i += ${shapes[size].lanes}u) {
      let d = ${contiguousDepth ? `i % ${depth}u` : `i / ${size}u`};
      let r = ${contiguousDepth ? `i / ${depth}u` : `i % ${size}u`};
      var value = 0.0;
      if (${first} + r < ${end} && k + d < k1) { value = at_${side}(${side}Base + (${first} + r) * ${row} + (k + d) * ${column}); }
      tile_${side}[d * ${pitchOf(size)}u + r] = value;
    }`;
};

/**
 * The classic GPU product, for sides of any size: a workgroup computes a square of outputs from pieces of 16 depths in workgroup memory. Of 64
 * (32): 8.1 KiB (4.1), for each depth 12 loads of it (8) for 32 multiply-adds (16), 32 sums (16) in registers.
 */
export const tileVariant = (size: TileSize, { aTransposed, bTransposed }: Sides): MatmulVariant => {
  const { lanes, rowsPerLane } = shapes[size];
  const pitch = pitchOf(size);
  const across = size / 4;
  return {
    name: `tile-${size}`,
    rows: size,
    columns: size,
    perGroup: 1,
    lanes,
    declarations: `
var<workgroup> tile_a: array<f32, ${depth * pitch}>;
var<workgroup> tile_b: array<f32, ${depth * pitch}>;`,
    body: `
  let row = (lane / ${across}u) * ${rowsPerLane}u;
  let column = lane % ${across}u;
${times(rowsPerLane, (r) => `  var c${r} = vec4<f32>();`).join('\n')}
  for (var k = k0; k < k1; k += ${depth}u) {${load('a', !aTransposed, size)}${load('b', bTransposed, size)}
    workgroupBarrier();
    for (var d = 0u; d < ${depth}u; d++) {
      let x = d * ${pitch}u + row;
      let at = d * ${pitch}u + column;
      let y = vec4<f32>(tile_b[at], tile_b[at + ${across}u], tile_b[at + ${2 * across}u], tile_b[at + ${3 * across}u]);
${times(rowsPerLane, (r) => `      c${r} += tile_a[x + ${r}u] * y;`).join('\n')}
    }
    workgroupBarrier();
  }
  let m = m0 + row;
  let n = n0 + column;
${times(
  rowsPerLane,
  (r) => `  if (m + ${r}u < rows) {
${times(4, (c) => `    if (n + ${across * c}u < p.n) { store(outBase, m + ${r}u, n + ${across * c}u, c${r}[${c}]); }`).join('\n')}
  }`,
).join('\n')}`,
  };
};
