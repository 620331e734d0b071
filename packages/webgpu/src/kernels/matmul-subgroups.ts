import type { MatmulVariant } from './matmul-problem.ts';
import { type Skinny, skinnyNames } from './matmul-skinny.ts';
import { times } from './times.ts';

const lanes = 64;

/** Rows or columns of the long side per workgroup. */
const items = 16;

/**
 * For products with at most 16 rows or columns whose sides both lie along the depth (x·Wᵀ of one token or a few, low-rank factors): a subgroup
 * shares the depth of a few items of the long side, its lanes read neighbouring vec4s, and `subgroupAdd` joins their sums. No workgroup memory
 * but a counter. For i items at once and a short side of s: i + s vec4 loads per 4·i·s multiply-adds, i·s sums in registers (16 at most).
 * Takes subgroups of any size, also such as are not full, and assumes nothing of which lanes they are made of. The order of `subgroupAdd`
 * is the driver's, the same in every run.
 */
export const subgroupsVariant = ({ long, short }: Pick<Skinny, 'long' | 'short'>): MatmulVariant => {
  const { x, y, first, end, last, width } = skinnyNames({ long, short });
  const together = Math.min(4, items / width);
  // Both lie along the depth: rows of a, columns of b.
  const [pitchX, pitchY] = long === 'm' ? ['p.aRow', 'p.bColumn'] : ['p.bColumn', 'p.aRow'];
  const at = (i: number, s: number): string => (long === 'm' ? `first + ${i}u, ${s}u` : `${s}u, first + ${i}u`);
  const sums = times(together, (i) => times(width, (s) => ({ i, s, name: `c${i}_${s}` }))).flat();
  return {
    name: 'subgroups',
    rows: long === 'm' ? items : width,
    columns: long === 'm' ? width : items,
    perGroup: 1,
    lanes,
    subgroups: true,
    vectors: true,
    // All lanes of a subgroup take the same turns, which the compiler can't see.
    declarations: `diagnostic(off, subgroup_uniformity);
var<workgroup> subgroups: atomic<u32>;`,
    body: `
  let rank = subgroupExclusiveAdd(1u);
  let size = subgroupAdd(1u);
  var own = 0u;
  if (rank == 0u) { own = atomicAdd(&subgroups, 1u); }
  own = subgroupBroadcastFirst(own);
  workgroupBarrier();
  let step = ${together}u * atomicLoad(&subgroups);
${times(width, (s) => `  let y${s} = ${y}Base + min(${s}u, ${last} - 1u) * ${pitchY};`).join('\n')}
  for (var item = own * ${together}u; item < ${items}u; item += step) {
    let first = ${first} + item;
    if (first >= ${end}) { break; }
${times(together, (i) => `    let x${i} = ${x}Base + min(first + ${i}u, ${end} - 1u) * ${pitchX};`).join('\n')}
${sums.map(({ name }) => `    var ${name} = 0.0;`).join('\n')}
    for (var k = k0 + 4u * rank; k < k1; k += 4u * size) {
${times(together, (i) => `      let u${i} = at4_${x}(x${i} + k);`).join('\n')}
${times(width, (s) => `      { let v = at4_${y}(y${s} + k); ${times(together, (i) => `c${i}_${s} += dot(u${i}, v);`).join(' ')} }`).join('\n')}
    }
${sums.map(({ name }) => `    ${name} = subgroupAdd(${name});`).join('\n')}
    if (rank == 0u) {
${sums.map(({ i, s, name }) => `      if (first + ${i}u < ${end} && ${s}u < ${last}) { store(outBase, ${at(i, s)}, ${name}); }`).join('\n')}
    }
  }`,
  };
};
