/** How a growing sparsity goes: as itself, or so that e^λ or log λ grows evenly. */
export type SparsitySchedule = 'linear' | 'log' | 'exp';

/** λ over the steps of a training. */
export interface SparsityOptions {
  /** At first. */
  readonly sparsity: number;
  /** At last; 0 for one that stays. */
  readonly maxSparsity: number;
  readonly schedule: SparsitySchedule;
  /** Values that it has one after the other. */
  readonly stages: number;
  /** Steps that they are spread over, evenly. */
  readonly steps: number;
}

/** Evenly between f(first) and f(last), and back. */
const ways: Readonly<Record<SparsitySchedule, readonly [to: (x: number) => number, back: (x: number) => number]>> = {
  linear: [(x) => x, (x) => x],
  log: [Math.exp, Math.log],
  exp: [Math.log, Math.exp],
};

/** λ in a step, counted from 0: `stages` values from the first to the last, each for as many steps. */
export const sparsityAt = (options: SparsityOptions, step: number): number => {
  const { sparsity, maxSparsity, schedule, stages, steps } = options;
  if (maxSparsity === 0 || stages === 1) return sparsity;
  const stage = Math.min(stages - 1, Math.floor((step * stages) / steps));
  if (stage === 0) return sparsity;
  const [to, back] = ways[schedule];
  return back(to(sparsity) + ((to(maxSparsity) - to(sparsity)) * stage) / (stages - 1));
};
