import type { DeviceFacts } from '../kernel.ts';
import { subgroupTiles } from './attention-subgroup-tiles.ts';
import type { AttentionTiles } from './attention-tiles.ts';
import { workgroupTiles } from './attention-workgroup-tiles.ts';

/** Sums of one lane that subgroup tiles hold, at most, as vec4; more leave the registers, and LLVM takes minutes to compile them. */
const maxSums = 32;

/** The tiles for a side of so many rows, where a kernel holds `accumulators` sums of headDim per row. */
export const attentionTiles = (
  rows: number,
  headDim: number,
  accumulators: number,
  { software, subgroupSize }: DeviceFacts,
): AttentionTiles => {
  const values = headDim * accumulators;
  // On narrower ones (SwiftShader's are four lanes) a step gains a fifth, and its long texts take four times as long to compile.
  if (software && subgroupSize && subgroupSize >= 8) {
    const own = rows === 1 ? 1 : 8;
    if (own * accumulators * Math.ceil(headDim / (4 * subgroupSize)) <= maxSums)
      return subgroupTiles({ own, headDim }, subgroupSize);
  }
  // Few rows per lane where there are few, or where sums would not fit registers.
  const own = rows <= 8 ? 1 : values <= 128 ? 4 : values <= 256 ? 2 : 1;
  return workgroupTiles({ own, headDim });
};
