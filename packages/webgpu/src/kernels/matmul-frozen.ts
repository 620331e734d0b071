import type { Spec } from '@peftjs/tensor';
import type { DeviceFacts, KernelPlan } from '../kernel.ts';
import { matmulPlan } from './matmul-plan.ts';
import { inFours, type MatmulProblem } from './matmul-problem.ts';
import { skinnyLimit } from './matmul-skinny.ts';
import { rowFactors } from './round-rows.ts';

/**
 * How a device computes the product of an f32 `x`, the left side as it lies, by a matrix that is stored in f16 or packed, and so frozen: in f16 where that is asked for and tiles of f16 take it,
 * with a pass before that finds the factors of its rows.
 */
export const frozenPlan = (problem: MatmulProblem, x: Spec, device: DeviceFacts): KernelPlan => {
  const { m, n, a, batch = [] } = problem;
  const takesHalf =
    device.f16 &&
    device.halfProducts &&
    inFours(problem) &&
    !a.transposed &&
    batch.length === 0 &&
    Math.min(m, n) > skinnyLimit;
  if (!takesHalf) return matmulPlan(problem, device);
  const { dispatches, temps } = matmulPlan({ ...problem, factors: { buffer: 'factors', first: 0 } }, device);
  return { dispatches: [rowFactors(x, a.buffer, device), ...dispatches], temps: { ...temps, factors: 4 * m } };
};
