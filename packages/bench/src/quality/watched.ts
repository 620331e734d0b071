import type { Executor, Plan } from '@peftjs/tensor';

/** An executor that tells the largest plan of what it compiles. */
export const watched = (executor: Executor): { readonly executor: Executor; peak(): number } => {
  const plans: Plan[] = [];
  const compile: Executor['compile'] = async (...args) => {
    const made = await executor.compile(...args);
    plans.push(made.plan);
    return made;
  };
  return { executor: { ...executor, compile }, peak: () => Math.max(...plans.map(({ peakBytes }) => peakBytes)) };
};
