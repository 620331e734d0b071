import type { MatmulVariant } from './matmul-problem.ts';
import { times } from './times.ts';

/**
 * One invocation computes rows x 4 outputs straight from storage, without workgroup memory: what is fastest on CPU adapters
 * (512³ on lavapipe: 6.0 GFLOP/s against 1.8 of the tile), where workgroup memory is ordinary memory and barriers cost.
 */
export const registersVariant = (rows: number): MatmulVariant => ({
  name: `registers-${rows}`,
  rows,
  columns: 4,
  perGroup: 64,
  lanes: 64,
  // Rows and columns beyond the edge repeat the last one; only their stores are left out.
  body: `
  let columns = vec4<u32>(n0, min(n0 + 1u, p.n - 1u), min(n0 + 2u, p.n - 1u), min(n0 + 3u, p.n - 1u)) * p.bColumn + bBase;
${times(rows, (r) => `  let a${r} = aBase + min(m0 + ${r}u, rows - 1u) * p.aRow;\n  var c${r} = vec4<f32>();`).join('\n')}
  for (var k = k0; k < k1; k++) {
    let at = columns + k * p.bRow;
    let y = vec4<f32>(at_b(at.x), at_b(at.y), at_b(at.z), at_b(at.w));
    let step = k * p.aColumn;
${times(rows, (r) => `    c${r} += at_a(a${r} + step) * y;`).join('\n')}
  }
${times(
  rows,
  (r) => `  if (m0 + ${r}u < rows) {
${times(4, (c) => `    if (n0 + ${c}u < p.n) { store(outBase, m0 + ${r}u, n0 + ${c}u, c${r}[${c}]); }`).join('\n')}
  }`,
).join('\n')}`,
});
