import { PeftError } from '@peftjs/tensor';
import type { Evaluated } from './run-state.ts';

/** How measurements are compared. */
export interface Comparison {
  /** `loss`, or the name of one of the measures. Default `loss`. */
  readonly by?: string;
  /** Which of two values is better. Default: the lower loss and perplexity, the higher one of all else. */
  readonly better?: 'lower' | 'higher';
}

/** The best of some measurements, and how many have come since. */
export interface Standing {
  readonly best: Evaluated | null;
  readonly since: number;
}

const falling: readonly string[] = ['loss', 'perplexity'];

const valueOf = ({ loss, metrics }: Evaluated, by: string): number => {
  const value = by === 'loss' ? loss : metrics[by];
  if (value !== undefined) return value;
  const there = ['loss', ...Object.keys(metrics)].join(', ');
  throw new PeftError('bad-option', `heldOut: by is ${by}, which is not measured; there are ${there}`);
};

/** Finds the best; of two that are alike the first. Throws `bad-option` where what they are compared by was not measured. */
export const standing = (evaluated: readonly Evaluated[], { by = 'loss', better }: Comparison): Standing => {
  const isLower = (better ?? (falling.includes(by) ? 'lower' : 'higher')) === 'lower';
  let [best, at]: [Evaluated | null, number] = [null, -1];
  for (const [i, one] of evaluated.entries()) {
    const value = valueOf(one, by);
    const known = best && valueOf(best, by);
    if (known === null || (isLower ? value < known : value > known)) [best, at] = [one, i];
  }
  return { best, since: evaluated.length - 1 - at };
};
