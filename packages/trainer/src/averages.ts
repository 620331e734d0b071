import type { StepContext, Updates } from '@peftjs/core';
import { add, type Executor, mul, select, type Tensor, type Variable } from '@peftjs/tensor';

const names = { sum: 'average', weight: 'averageWeight' } as const;

/**
 * The moving average of parameters over the steps, as further updates: a ← d·a + (1−d)·w of new values w, and the same of 1, by which it is divided, so that it is a mean from the first
 * step on. A step that is not finite leaves both. Kingma & Ba, 2014, section 7.2. https://arxiv.org/abs/1412.6980
 */
export const averaged = (
  updates: Updates,
  params: readonly Variable[],
  decay: number,
  step: Pick<StepContext, 'state' | 'finite'>,
): Updates => {
  const now = new Map(updates);
  const moved = (old: Variable, value: Tensor | number): readonly [Variable, Tensor] => {
    const share = typeof value === 'number' ? value * (1 - decay) : mul(value, 1 - decay);
    return [old, select(step.finite, add(mul(old, decay), share), old)];
  };
  return params.flatMap((param) => [
    moved(step.state(param, names.sum), now.get(param) ?? param),
    moved(step.state(param, names.weight, []), 1),
  ]);
};

/** Makes parameters their averages; gives the way back. Those that have not been stepped yet stay as they are. */
export const useAverages = async (
  state: ReadonlyMap<Variable, readonly Variable[]>,
  executor: Executor,
): Promise<() => Promise<void>> => {
  const before: (readonly [Variable, Float32Array])[] = [];
  for (const [param, kept] of state) {
    const of = (name: string): Variable => kept.find((v) => v.node.name === `${param.node.name}.${name}`)!;
    const weight = (await executor.read(of(names.weight)))[0]!;
    if (weight === 0) continue;
    const sum = await executor.read(of(names.sum));
    before.push([param, (await executor.read(param)).slice() as Float32Array]);
    await executor.write(
      param,
      Float32Array.from(sum, (x) => x / weight),
    );
  }
  return async () => {
    for (const [param, values] of before) await executor.write(param, values);
  };
};
