import type { DeviceFacts, Dispatch, KernelPlan } from '../../kernel.ts';
import { broadcastTile, broadcastVariant } from './matmul-broadcast.ts';
import { emitsOut, type MatmulProblem, type MatmulVariant, matmulDispatch } from './matmul-problem.ts';
import { registersVariant } from './matmul-registers.ts';
import { type Shards, shardProblem } from './matmul-shards.ts';
import { skinnyLimit, skinnyVariant } from './matmul-skinny.ts';
import { tileNeeds, tileVariant } from './matmul-tile.ts';

/** Outputs of the second pass of a split product: one invocation adds the parts of one output, in order. */
const joinParts = (problem: MatmulProblem, scratch: string, splits: number, size: number): Dispatch => ({
  label: `${problem.label ?? 'matmul'}: join parts`,
  wgsl: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  var total = ${problem.accumulate ? 'out[i]' : '0.0'};
  for (var part = 0u; part < p.splits; part++) { total += parts[part * p.size + i]; }
  ${emitsOut(problem) ? 'emit(i, total)' : 'out[i] = total'};
}`,
  bindings: [
    { buffer: scratch, as: 'parts', access: 'read', element: 'f32' },
    { buffer: problem.out, as: 'out', access: 'read_write', element: 'f32' },
  ],
  ...(emitsOut(problem) && { emits: problem.out }),
  params: { size, splits },
  flops: 0,
  workgroups: Math.ceil(size / 64),
});

const chooseVariant = (
  { m, n, a, b }: MatmulProblem,
  { software, subgroupSize, maxInvocations, workgroupMemory }: DeviceFacts,
): MatmulVariant => {
  const fits = maxInvocations >= tileNeeds.invocations && workgroupMemory >= tileNeeds.workgroupMemory;
  // Fewer rows than half a subgroup would leave most of what is broadcast unused.
  if (software && subgroupSize && 2 * m >= subgroupSize) return broadcastVariant(broadcastTile(m, n, subgroupSize));
  if (software || !fits) return registersVariant(m >= 8 ? 8 : m >= 4 ? 4 : m >= 2 ? 2 : 1);
  if (Math.min(m, n) > skinnyLimit) return tileVariant(a.transposed ?? false, b.transposed ?? false);
  return n <= m
    ? skinnyVariant({ long: 'm', contiguousDepth: !a.transposed, short: n })
    : skinnyVariant({ long: 'n', contiguousDepth: b.transposed ?? false, short: m });
};

/** Units of work that keep a device busy: more is not gained by splitting the depth. */
const enoughUnits = 256;
/** A part of the depth is at least this long. */
const partDepth = 256;

const chooseSplits = ({ m, n, k, batch = [], limit }: MatmulProblem, { rows, columns }: MatmulVariant): number => {
  const units = Math.ceil(m / rows) * Math.ceil(n / columns) * batch.reduce((x, d) => x * d, 1);
  if (units === 0 || limit?.axis === 'm') return 1;
  return Math.max(1, Math.min(Math.floor(k / partDepth), Math.ceil(enoughUnits / units)));
};

/**
 * How a device computes a product: the variant by device and shape, and the depth split where there are too few outputs to keep the
 * device busy (gradients of low-rank factors), joined by a second pass. `scratch` names the temporary of the parts.
 */
export const matmulPlan = (problem: MatmulProblem, device: DeviceFacts, scratch = 'parts'): KernelPlan => {
  const shards = shardProblem(problem, device.maxBindingBytes ?? Number.POSITIVE_INFINITY);
  return shards ? shardedPlan(problem, shards, device, scratch) : wholePlan(problem, device, scratch);
};

/** One dispatch per part; parts of the depth are added up where they are stored, or, where others join, by a last pass. */
const shardedPlan = (
  problem: MatmulProblem,
  { axis, parts }: Shards,
  device: DeviceFacts,
  scratch: string,
): KernelPlan => {
  const one = (part: MatmulProblem): Dispatch => matmulDispatch(part, chooseVariant(part, device), 1);
  if (axis === 'columns') return { dispatches: parts.map(one) };
  if (!emitsOut(problem))
    return {
      dispatches: parts.map((part, i) => one({ ...part, accumulate: i > 0 || (problem.accumulate ?? false) })),
    };
  const size = problem.m * problem.n;
  return {
    dispatches: [
      ...parts.map((part, i) => one({ ...part, out: scratch, outOffset: i * size })),
      joinParts(problem, scratch, parts.length, size),
    ],
    temps: { [scratch]: 4 * size * parts.length },
  };
};

const wholePlan = (problem: MatmulProblem, device: DeviceFacts, scratch: string): KernelPlan => {
  const variant = chooseVariant(problem, device);
  const splits = chooseSplits(problem, variant);
  if (splits === 1) return { dispatches: [matmulDispatch(problem, variant, 1)] };
  const size = problem.m * problem.n * (problem.batch ?? []).reduce((x, d) => x * d, 1);
  return {
    dispatches: [
      matmulDispatch({ ...problem, out: scratch }, variant, splits),
      joinParts(problem, scratch, splits, size),
    ],
    temps: { [scratch]: 4 * size * splits },
  };
};
