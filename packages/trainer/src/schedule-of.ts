import { checkOptions, mustBe } from '@peftjs/tensor';
import type { Schedule, ScheduleOptions, WarmupOptions } from './schedule.ts';
import { constantRate } from './schedules/constant-rate.ts';
import { cosine } from './schedules/cosine.ts';
import { type CosineRestartsOptions, cosineRestarts } from './schedules/cosine-restarts.ts';
import { type InverseSqrtOptions, inverseSqrt } from './schedules/inverse-sqrt.ts';
import { linear } from './schedules/linear.ts';
import { type PolynomialOptions, polynomial } from './schedules/polynomial.ts';
import { type ReduceOnPlateauOptions, reduceOnPlateau } from './schedules/reduce-on-plateau.ts';
import { type WsdOptions, wsd } from './schedules/wsd.ts';

/** The options of each schedule, by name. */
export interface SchedulesByName {
  readonly constant: WarmupOptions;
  readonly linear: ScheduleOptions;
  readonly cosine: ScheduleOptions;
  readonly cosineRestarts: CosineRestartsOptions;
  readonly polynomial: PolynomialOptions;
  readonly inverseSqrt: InverseSqrtOptions;
  readonly wsd: WsdOptions;
  readonly reduceOnPlateau: ReduceOnPlateauOptions;
}

type Name = keyof SchedulesByName;

/** A schedule as values of JSON: its name and options. What a run knows by itself, `steps` and the method's `learningRate`, may be left out in `train`. */
export type NamedSchedule = {
  readonly [N in Name]: { readonly name: N; readonly warmupShare?: number } & {
    readonly [K in keyof SchedulesByName[N]]?: SchedulesByName[N][K];
  };
}[Name];

const makers: {
  readonly [N in Name]: { readonly make: (options: SchedulesByName[N]) => Schedule; readonly ends: boolean };
} = {
  constant: { make: constantRate, ends: false },
  linear: { make: linear, ends: true },
  cosine: { make: cosine, ends: true },
  cosineRestarts: { make: cosineRestarts, ends: true },
  polynomial: { make: polynomial, ends: true },
  inverseSqrt: { make: inverseSqrt, ends: false },
  wsd: { make: wsd, ends: true },
  reduceOnPlateau: { make: reduceOnPlateau, ends: false },
};

/** The names of all schedules. */
export const scheduleNames: readonly string[] = Object.keys(makers);

const warmupOf = (share: number, steps: number | undefined, given: object): number => {
  checkOptions('scheduleOf', { warmupShare: mustBe.share }, { warmupShare: share }, () => [
    ...(steps === undefined ? ['warmupShare is a share of steps, which is missing'] : []),
    ...('warmup' in given ? ['there is warmup and warmupShare; leave one of them out'] : []),
  ]);
  return Math.ceil(share * steps!);
};

/**
 * A schedule by its name: `scheduleOf({ name: 'cosine', learningRate: 1e-3, steps: 200, warmup: 10 })`. `warmupShare` instead of `warmup` is a share of the
 * steps, rounded up as Hugging Face's `warmup_ratio` is. `run` has what the options leave out. Throws `bad-option`.
 */
export const scheduleOf = (
  named: NamedSchedule,
  run: { readonly steps?: number; readonly learningRate?: number | null } = {},
): Schedule => {
  const { name, warmupShare, ...given } = (named ?? {}) as NamedSchedule & { readonly steps?: number };
  checkOptions('scheduleOf', { name: mustBe.given(mustBe.oneOf(scheduleNames)) }, { name });
  const { make, ends } = makers[name];
  const { steps = run.steps, ...rest } = given;
  const learningRate = given.learningRate ?? run.learningRate;
  const options = {
    ...rest,
    ...(learningRate != null && { learningRate }),
    ...(ends && steps !== undefined && { steps }),
    ...(warmupShare !== undefined && { warmup: warmupOf(warmupShare, steps, given) }),
  };
  return (make as (o: object) => Schedule)(options);
};
