import type { Decision } from '@peftjs/core';
import type { Path } from '@peftjs/transformer';
import { importanceOf, type Sheared, type ShearedLayer } from './scores.ts';

/** When structures go, and how many. */
export interface ShearOptions {
  /** The share of all structures that is gone at last. */
  readonly ratio: number;
  /** Steps of the training. */
  readonly steps: number;
  /** The share of them before the first choice. */
  readonly warmup: number;
  /** The share of them after the last structure is gone. */
  readonly final: number;
  /** The number of choices between. */
  readonly periods: number;
}

/** The steps before the first choice, at least 1; the choices, and the steps from one to the next. */
export const periodsOf = ({
  steps,
  warmup,
  final,
  periods: most,
}: Omit<ShearOptions, 'ratio'>): { readonly start: number; readonly periods: number; readonly duration: number } => {
  const start = Math.max(1, Math.floor(warmup * steps));
  const between = Math.max(1, steps - start - Math.floor(final * steps));
  const periods = Math.min(most, between);
  return { start, periods, duration: Math.floor(between / periods) };
};

/** The number of structures that go in a period, of so many. */
export const goingIn = (
  { ratio, periods }: Pick<ShearOptions, 'ratio' | 'periods'>,
  total: number,
  period: number,
): number => {
  const target = Math.floor(total * Math.min(ratio, 0.999));
  const each = Math.floor(target / periods);
  return period < periods - 1 ? each : target - each * (periods - 1);
};

/** The least important of the structures that are there, by group; the most important of each group stays. */
const choose = (
  importance: readonly Float64Array[],
  masks: readonly Float32Array[],
  count: number,
): readonly ReadonlySet<number>[] => {
  const there = importance.flatMap((scores, group) =>
    [...scores.keys()].filter((i) => masks[group]![i]! > 0).map((i) => ({ group, i, score: scores[i]! })),
  );
  const going = there.sort((a, b) => a.score - b.score || a.group - b.group || a.i - b.i).slice(0, count);
  return masks.map((mask, group) => {
    const own = going.filter((one) => one.group === group).map(({ i }) => i);
    const left = mask.filter((v) => v > 0).length - own.length;
    return new Set(left > 0 ? own : own.slice(0, -1));
  });
};

/**
 * The choices of LHSPG. A period has T steps; what is chosen at its beginning is shrunk in T − 1 of them (one, if T is 1) by (T − 1 − j) / (T − j), j = 1, 2, …, from which it stays 0. After each step masks become what the rows of B were multiplied
 * by in it, and the factors of the next step are written.
 */
export const halfSpace = (
  groups: readonly Sheared[],
  layers: ReadonlyMap<Path, ShearedLayer>,
  options: ShearOptions,
): Decision => {
  const { start, periods, duration } = periodsOf(options);
  const shrinking = Math.max(duration - 1, 1);
  return {
    due: (step) => step >= start && step <= start + periods * duration,
    run: async (step, between) => {
      const masks: Float32Array[] = [];
      const shrunk: Float32Array[] = [];
      for (const { mask, keep } of groups) {
        const factors = Float32Array.from(await between.read(keep));
        const now = Float32Array.from(await between.read(mask), (v, i) => v * factors[i]!);
        await between.write(mask, now);
        masks.push(now);
        shrunk.push(factors);
      }
      const [period, done] = [Math.floor((step - start) / duration), (step - start) % duration];
      const total = groups.reduce((n, { count }) => n + count, 0);
      const chosen =
        done === 0 && period < periods
          ? choose(
              await importanceOf(groups, layers, between),
              masks,
              goingIn({ ratio: options.ratio, periods }, total, period),
            )
          : masks.map((mask, g) => new Set([...mask.keys()].filter((i) => shrunk[g]![i]! < 1)));
      const factor = Math.max(shrinking - done - 1, 0) / Math.max(shrinking - done, 1);
      for (const [g, { keep }] of groups.entries())
        await between.write(
          keep,
          masks[g]!.map((v, i) => (v === 0 ? 0 : chosen[g]!.has(i) ? factor : 1)),
        );
    },
  };
};
