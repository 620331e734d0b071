import type { DeviceFacts, Dispatch, KernelPlan } from '../kernel.ts';
import { batchCount, emitsOut, type MatmulProblem, matmulDispatch } from './matmul-problem.ts';
import { type Shards, shardProblem } from './matmul-shards.ts';
import { matmulKey, matmulTrial } from './matmul-trial.ts';
import { type Way, waysOf } from './matmul-ways.ts';

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
    {
      buffer: problem.out,
      as: 'out',
      access: 'read_write',
      element: 'f32',
      ...(problem.outWindow && { window: problem.outWindow }),
    },
  ],
  ...(emitsOut(problem) && { emits: problem.out }),
  params: { size, splits },
  flops: 0,
  workgroups: Math.ceil(size / 64),
});

/** The way that the device found fastest, else the fixed choice. */
const chooseWay = (problem: MatmulProblem, device: DeviceFacts, whole: boolean): Way => {
  const ways = waysOf(problem, device, whole);
  if (!device.choose || ways.length === 1 || problem.m * problem.n * problem.k * batchCount(problem) === 0)
    return ways[0]!;
  const found = device.choose({
    key: `${matmulKey(problem)}${whole ? ', whole' : ''}`,
    ways: ways.map(({ name }) => name),
    trial: (wanted) => {
      const trial = matmulTrial(problem);
      const of = waysOf(trial.problem, device, whole);
      const way = of.find(({ name }) => name === wanted) ?? of.find(({ name }) => wanted.startsWith(name)) ?? of[0]!;
      return { plan: planOfWay(trial.problem, way, 'parts'), buffers: trial.buffers };
    },
  });
  return ways.find(({ name }) => name === found) ?? ways[0]!;
};

/**
 * How a device computes a product: the variant by device and shape, and the depth split where there are too few outputs to keep the
 * device busy (gradients of low-rank factors), joined by a second pass. `scratch` names the temporary of the parts.
 */
export const matmulPlan = (problem: MatmulProblem, device: DeviceFacts, scratch = 'parts'): KernelPlan => {
  const shards = shardProblem(problem, device.maxBindingBytes ?? Number.POSITIVE_INFINITY);
  return shards
    ? shardedPlan(problem, shards, device, scratch)
    : planOfWay(problem, chooseWay(problem, device, problem.limit?.axis === 'm'), scratch);
};

/** One dispatch per part; parts of the depth are added up where they are stored, or, where others join, by a last pass. */
const shardedPlan = (
  problem: MatmulProblem,
  { axis, parts }: Shards,
  device: DeviceFacts,
  scratch: string,
): KernelPlan => {
  const one = (part: MatmulProblem): Dispatch => matmulDispatch(part, chooseWay(part, device, true).variant, 1);
  if (axis === 'rows') {
    const plans = parts.map((part) => matmulPlan(part, device, scratch));
    const temps = Math.max(0, ...plans.map(({ temps }) => temps?.[scratch] ?? 0));
    return {
      dispatches: plans.flatMap(({ dispatches }) => dispatches),
      ...(temps > 0 && { temps: { [scratch]: temps } }),
    };
  }
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

const planOfWay = (problem: MatmulProblem, { variant, splits }: Way, scratch: string): KernelPlan => {
  if (splits === 1) return { dispatches: [matmulDispatch(problem, variant, 1)] };
  const size = problem.m * problem.n * batchCount(problem);
  return {
    dispatches: [
      matmulDispatch({ ...problem, out: scratch }, variant, splits),
      joinParts(problem, scratch, splits, size),
    ],
    temps: { [scratch]: 4 * size * splits },
  };
};
