import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { anywhere, type SearchPlace } from './space.ts';
import { firstOpen, type Strategy } from './trial.ts';

/** Options of `evolving`. */
export interface EvolvingOptions {
  /** Trials at random before the first that has parents. Default 20. */
  readonly population?: number;
  /** How many of the best are parents. Default 10. */
  readonly parents?: number;
  /** Probability that a dimension is drawn anew in a mutation. Default 0.2. */
  readonly mutation?: number;
}

const rules: Rules<EvolvingOptions> = { population: mustBe.count, parents: mustBe.count, mutation: mustBe.share };

/**
 * An evolutionary search: after a population at random every trial is a child of the best so far, in turn a mutation, each dimension drawn anew with a
 * probability, and a crossover, each dimension that of one of two parents. As NOAH searches, by one trial at a time instead of by
 * generations. Zhang et al., 2022. https://arxiv.org/abs/2206.04673. Throws `bad-option`.
 */
export const evolving = (options: EvolvingOptions = {}): Strategy => {
  checkOptions('evolving', rules, options);
  const { population = 20, parents = 10, mutation = 0.2 } = options;
  return async (soFar) => {
    const { space, tried, random } = soFar;
    const random0 = (): SearchPlace => anywhere(space, random);
    const sound = tried.filter(({ loss }) => loss !== null);
    const best = [...sound].sort((a, b) => a.loss! - b.loss!).slice(0, parents);
    if (tried.length < population || best.length === 0) return firstOpen(soFar, random0);
    const parent = (): SearchPlace => best[Math.floor(random() * best.length)]!.place;
    const mutated = (): SearchPlace => {
      const other = random0();
      return parent().map((v, i) => (random() < mutation ? other[i]! : v));
    };
    const crossed = (): SearchPlace => {
      const [one, other] = [parent(), parent()];
      return one.map((v, i) => (random() < 0.5 ? v : other[i]!));
    };
    const [first, second] = tried.length % 2 === 0 ? [mutated, crossed] : [crossed, mutated];
    return firstOpen(soFar, first) ?? firstOpen(soFar, second) ?? firstOpen(soFar, random0);
  };
};
