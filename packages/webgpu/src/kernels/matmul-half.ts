import type { MatmulVariant } from './matmul-problem.ts';
import { eachSum, loadVectors, type Sides, type VectorTile, vectorTile } from './matmul-vectors.ts';
import { times } from './times.ts';

/** Depths whose products are summed in f16 before they are added in f32. */
const run = 4;

/**
 * The square tiles of `vectorsVariant` with operands rounded to f16 and products of four depths summed in f16, then in f32: half the workgroup
 * memory (2, 4, 8 KiB) and its traffic, and multiply-adds that f16 units may do in pairs; sixteen, 32 or 64 registers more. Relative errors
 * are of the order of 2⁻¹¹ of the largest products. Rows of a come with factors that bring their largest value to [4, 8), so that no row is too small or too large, and four
 * products fit f16 as long as values of b are below 128; sums that do not fit are stored as no number. Needs `shader-f16`.
 */
export const halfVariant = (tile: VectorTile, sides: Sides): MatmulVariant => {
  const step = (j: number): string =>
    `      { ${loadVectors(tile, `d + ${j}u`)}
${eachSum(tile, (c, x, y) => `        h${c} += ${x} * ${y};`)}
      }`;
  const multiply = `    for (var d = 0u; d < 16u; d += ${run}u) {
${eachSum(tile, (c) => `      var h${c} = vec4<f16>();`)}
${times(run, step).join('\n')}
${eachSum(tile, (c) => `      c${c} += vec4<f32>(h${c});`)}
    }`;
  return vectorTile('half', tile, sides, true, multiply);
};
