import { type Chosen, count, number, type OptionTable, rate, type Target, targets } from '@peftjs/core';

/** Options of `factTt` and `factTk`. */
export interface FactOptions {
  /** Which layers. Default: those of attention and of the MLPs. */
  readonly target?: Target;
  /** Rank r. Default 8. */
  readonly rank?: number;
  /** Factor s of the updates. Default 1; the authors choose it by the data, from 0.01 to 100. */
  readonly scale?: number;
  /** Probability that a value between the factors is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

/** Options with nothing left open. */
export type FactChosen = Chosen<FactOptions>;

/** The options' table. */
export const factOptions: OptionTable<FactOptions> = {
  target: targets('target_modules', {
    roles: ['query', 'key', 'value', 'attn-out', 'gate', 'up', 'down'],
  }),
  rank: count('r', 8),
  scale: number('scale', 1),
  dropout: rate('dropout', 0.1),
};
