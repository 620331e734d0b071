import { attach, rateForWidth, summary } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Named } from '../config/named.ts';
import type { RunConfig } from '../config/schema.ts';
import { methods } from '../methods.ts';
import { hint } from '../nearest.ts';
import type { Ground } from '../train/prepared.ts';

/** The choices of a search. */
export interface Choices {
  readonly methods: readonly string[];
  /** Factors of each method's own learning rate. */
  readonly rates: readonly number[];
  /** Of the methods that have one. */
  readonly ranks: readonly number[];
}

/** A point of a search. */
export interface Point {
  readonly method: string;
  readonly rank: number;
  readonly rate: number;
  readonly steps: number;
}

const hasRank = (name: string): boolean => 'rank' in (methods.get(name)?.options ?? {});

/** Throws `bad-option` for what there is not. */
export const checkChoices = ({ methods: names, rates, ranks }: Choices): void => {
  for (const name of names)
    if (!methods.has(name))
      throw new PeftError('bad-option', `search: there is no method ${name}${hint(name, [...methods.keys()])}`);
  if (rates.some((rate) => !(rate > 0 && rate < Number.POSITIVE_INFINITY)))
    throw new PeftError('bad-option', `search: rates are factors above 0, got ${rates.join(', ')}`);
  if (ranks.some((rank) => !Number.isSafeInteger(rank) || rank < 1))
    throw new PeftError('bad-option', `search: ranks are whole numbers of at least 1, got ${ranks.join(', ')}`);
};

/** Steps of the rungs, from the least on: the last is whole, each before it a part. */
export const effortsOf = (steps: number, factor: number, rungs: number): readonly number[] => [
  ...new Set(Array.from({ length: rungs }, (_, rung) => Math.max(1, Math.round(steps / factor ** (rungs - 1 - rung))))),
];

/** The method of a point: the run's own options hold for the run's own method. */
const methodOf = ({ method, rank }: Omit<Point, 'steps' | 'rate'>, own: Named): Named => ({
  ...(own.name === method ? own : { name: method }),
  ...(hasRank(method) && { rank }),
});

/** The learning rate that a method is given with the factor 1. Throws `bad-config` where there is none. */
const rateOf = (method: string, { optimizer, method: own }: RunConfig, { base }: Ground): number => {
  const given = method === own.name ? optimizer.rate : undefined;
  const rate = given ?? rateForWidth(methods.get(method)!, base.main.hiddenSize);
  if (rate !== null) return rate;
  throw new PeftError('bad-config', `search: ${method} has no learning rate of its own; leave it out`);
};

/** A learning rate without a tail of digits. */
const rounded = (rate: number): number => Number(rate.toPrecision(3));

/** The run of a point. */
export const runConfigOf = (point: Point, config: RunConfig, ground: Ground): RunConfig => {
  const { epochs: _, ...others } = config;
  const rate = rounded(rateOf(point.method, config, ground) * point.rate);
  return {
    ...others,
    method: methodOf(point, config.method),
    optimizer: { ...config.optimizer, rate },
    steps: point.steps,
  };
};

/**
 * How many values a point trains, by its method and rank; 0 for a rank other than the first of a method that has none, so that it is tried once. Throws as the method
 * does where its options are not right; of one that looks at data first it may say 1.
 */
export const valuesOf = (ranks: readonly number[], config: RunConfig, { base }: Ground): ((point: Point) => number) => {
  const known = new Map<string, number>();
  return ({ method, rank }) => {
    if (!hasRank(method) && rank !== ranks[0]) return 0;
    const key = `${method} ${rank}`;
    if (!known.has(key)) {
      const { name: _, ...options } = methodOf({ method, rank }, config.method);
      const made = methods.get(method)!(options);
      const count = (): number => summary(attach(base, [made])).trained;
      try {
        known.set(key, count());
      } catch (error) {
        if (!made.prepare) throw error;
        known.set(key, 1);
      }
    }
    return known.get(key)!;
  };
};

/** A point as the name of a folder: `lora-r8-x0.3`. */
export const nameOf = ({ method, rank, rate }: Point): string =>
  `${method}${hasRank(method) ? `-r${rank}` : ''}-x${rate}`;

/** The rank of a point in words; none of a method without. */
export const rankOf = ({ method, rank }: Point): string => (hasRank(method) ? String(rank) : '');
