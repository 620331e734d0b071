import type { MatmulVariant } from './matmul-problem.ts';
import { times } from './times.ts';

/** Depths per turn of the loop: a software adapter stores every sum under a mask once per turn. */
const unroll = 2;

/** The block that a subgroup of the variant computes: `bands` x `subgroupSize` rows, `columns` x `subgroupSize` columns. */
export interface Broadcast {
  readonly subgroupSize: number;
  readonly bands: number;
  readonly columns: 1 | 2 | 4;
}

/** The tile for a product of a size: no wider than it takes. */
export const broadcastTile = (m: number, n: number, subgroupSize: number): Broadcast => ({
  subgroupSize,
  bands: m > subgroupSize ? 2 : 1,
  columns: n > 2 * subgroupSize ? 4 : n > subgroupSize ? 2 : 1,
});

/**
 * For CPU adapters with subgroups, where a load costs as much as a dozen multiplications because every lane fetches by itself: a lane holds
 * `columns` of b, and loads one element of a per band, which all lanes then get by `subgroupBroadcast`. With 16 x 32 outputs a subgroup of
 * eight issues 6 loads per 64 multiplications, where registers alone take 12 per 32.
 * 512 x 256 x 688 by processor time: 17 GFLOP/s against 7.3 on lavapipe, 3.3 against 2.2 on SwiftShader.
 */
export const broadcastVariant = ({ subgroupSize: lanes, bands, columns }: Broadcast): MatmulVariant => {
  const rows = bands * lanes;
  const vector = columns === 1 ? 'f32' : `vec${columns}<f32>`;
  const step = (k: string): string => `{
    let y = ${vector}(${times(columns, (c) => `at_b(b${c} + (${k}) * p.bRow)`).join(', ')});
${times(bands, (i) => `    let x${i} = at_a(a${i} + (${k}) * p.aColumn);`).join('\n')}
${times(rows, (r) => `    c${r} += subgroupBroadcast(x${Math.floor(r / lanes)}, ${r % lanes}u) * y;`).join('\n')}
  }`;
  return {
    name: `broadcast-${rows}x${columns * lanes}`,
    rows,
    columns: columns * lanes,
    perGroup: 1,
    lanes,
    subgroups: true,
    // Rows and columns beyond the edge repeat the last one; only their stores are left out. The loop of stores is one that nobody can unroll:
    // what other ops compute on a value as it is stored is compiled once, not for every output.
    body: `
${times(bands, (i) => `  let a${i} = aBase + min(m0 + ${i * lanes}u + place, rows - 1u) * p.aRow;`).join('\n')}
${times(columns, (c) => `  let b${c} = bBase + min(n0 + ${c * lanes}u + place, p.n - 1u) * p.bColumn;`).join('\n')}
${times(rows, (r) => `  var c${r} = ${vector}();`).join('\n')}
  var k = k0;
  for (; k + ${unroll - 1}u < k1; k += ${unroll}u) {
  ${times(unroll, (u) => step(`k + ${u}u`)).join('\n  ')}
  }
  for (; k < k1; k++) ${step('k')}
  let sums = array<${vector}, ${rows}>(${times(rows, (r) => `c${r}`).join(', ')});
  let end = min(${rows}u, rows - m0);
  for (var r = 0u; r < end; r++) {
    for (var c = 0u; c < ${columns}u; c++) {
      let n = n0 + c * ${lanes}u + place;
      if (n < p.n) { store(outBase, m0 + r, n, sums[r]${columns === 1 ? '' : '[c]'}); }
    }
  }`,
  };
};
