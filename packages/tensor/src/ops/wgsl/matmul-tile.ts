import type { MatmulVariant } from './matmul-problem.ts';

const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i));

const size = 64;
const depth = 16;
const lanes = 128;
// One more than the tile, so that a column of stores meets different banks.
const pitch = size + 1;

/** Bytes of workgroup memory and invocations that the tile takes. */
export const tileNeeds: { readonly workgroupMemory: number; readonly invocations: number } = {
  workgroupMemory: 2 * depth * pitch * 4,
  invocations: lanes,
};

/** Copies a [64, 16] piece to workgroup memory as [depth][row]; neighbouring lanes read neighbouring elements. */
const load = (side: 'a' | 'b', contiguousDepth: boolean): string => {
  const [row, column] = side === 'a' ? ['p.aRow', 'p.aColumn'] : ['p.bColumn', 'p.bRow'];
  const [first, end] = side === 'a' ? ['m0', 'rows'] : ['n0', 'p.n'];
  return `
    for (var i = lane; i < ${size * depth}u; i += ${lanes}u) {
      let d = ${contiguousDepth ? `i % ${depth}u` : `i / ${size}u`};
      let r = ${contiguousDepth ? `i / ${depth}u` : `i % ${size}u`};
      var value = 0.0;
      if (${first} + r < ${end} && k + d < k1) { value = at_${side}(${side}Base + (${first} + r) * ${row} + (k + d) * ${column}); }
      tile_${side}[d * ${pitch}u + r] = value;
    }`;
};

/** The classic GPU product: a workgroup computes 64 x 64 outputs from 64 x 16 pieces in workgroup memory, 8 x 4 per invocation. */
export const tileVariant = (aTransposed: boolean, bTransposed: boolean): MatmulVariant => ({
  name: 'tile',
  rows: size,
  columns: size,
  perGroup: 1,
  lanes,
  declarations: `
var<workgroup> tile_a: array<f32, ${depth * pitch}>;
var<workgroup> tile_b: array<f32, ${depth * pitch}>;`,
  body: `
  let row = (lane / 16u) * 8u;
  let column = lane % 16u;
${times(8, (r) => `  var c${r} = vec4<f32>();`).join('\n')}
  for (var k = k0; k < k1; k += ${depth}u) {${load('a', !aTransposed)}${load('b', bTransposed)}
    workgroupBarrier();
    for (var d = 0u; d < ${depth}u; d++) {
      let x = d * ${pitch}u + row;
      let at = d * ${pitch}u + column;
      let y = vec4<f32>(tile_b[at], tile_b[at + 16u], tile_b[at + 32u], tile_b[at + 48u]);
${times(8, (r) => `      c${r} += tile_a[x + ${r}u] * y;`).join('\n')}
    }
    workgroupBarrier();
  }
  let m = m0 + row;
  let n = n0 + column;
${times(
  8,
  (r) => `  if (m + ${r}u < rows) {
${times(4, (c) => `    if (n + ${16 * c}u < p.n) { store(outBase, m + ${r}u, n + ${16 * c}u, c${r}[${c}]); }`).join('\n')}
  }`,
).join('\n')}`,
});
