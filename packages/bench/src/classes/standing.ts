import type { Contender } from './class-task.ts';
import type { Run, Stack } from './runs.ts';

/** A mean over seeds, and the standard deviation; the spread of one run is not known. */
export interface Estimate {
  readonly mean: number;
  readonly spread: number | null;
}

/** The runs of a contender in a stack, at the rate that was chosen. */
export interface Standing {
  readonly contender: Contender;
  readonly stack: Stack;
  readonly runs: readonly Run[];
  readonly accuracy: Estimate;
  readonly macroF1: Estimate;
}

/** The estimate of some values. */
const estimate = (values: readonly number[]): Estimate => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  return { mean, spread: values.length > 1 ? Math.sqrt(variance) : null };
};

/** The runs that the table tells, of all contenders that have some. */
export const standingsOf = (contenders: readonly Contender[], runs: readonly Run[], stack: Stack): Standing[] =>
  contenders.flatMap((contender) => {
    const own = runs.filter((run) => run.method === contender.name && run.stack === stack && run.on === 'test');
    if (own.length === 0) return [];
    return [
      {
        contender,
        stack,
        runs: own,
        accuracy: estimate(own.map(({ accuracy }) => accuracy)),
        macroF1: estimate(own.map(({ macroF1 }) => macroF1)),
      },
    ];
  });

/** Whether two estimates lie no further apart than both spread; null where one spread is not known. */
export const isWithinNoise = (a: Estimate, b: Estimate): boolean | null =>
  a.spread === null || b.spread === null ? null : Math.abs(a.mean - b.mean) <= a.spread + b.spread;

const percent = (x: number): string => (100 * x).toFixed(1);

/** `91.2 ± 0.4`, in percent. */
export const shown = ({ mean: middle, spread: wide }: Estimate): string =>
  wide === null ? percent(middle) : `${percent(middle)} ± ${percent(wide)}`;
