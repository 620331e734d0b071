import { adamwStep } from './adamw-step.ts';
import type { Rule } from './rule.ts';

export { adamw8bit } from './adamw8bit.ts';

/** One step, as the record defines it; the cpu executor does most steps on the host instead (cpu/adamw.ts). */
export const adamw: Rule<'weight' | 'grad' | 'm' | 'v' | 'hyper'> = ({ g, weight, grad, m, v, hyper }) => {
  const { weight1, m1, v1, moves } = adamwStep({ g, weight, grad, m, v, hyper });
  return [
    g.where(moves, weight1, weight, weight.shape),
    g.where(moves, m1, m, m.shape),
    g.where(moves, v1, v, v.shape),
  ];
};
