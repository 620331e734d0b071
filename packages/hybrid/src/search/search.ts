import { checkOptions, mustBe, PeftError, type Rules, randomSource } from '@peftjs/tensor';
import { bayesian } from './bayesian.ts';
import { paretoFront } from './front.ts';
import { checkSpace, keyOf, placeOf, pointAt, type SearchPlace, type SearchPoint, type SearchSpace } from './space.ts';
import type { Strategy, Trial, Tried } from './trial.ts';

/** Options of `search`. */
export interface SearchOptions<S extends SearchSpace> {
  /** The choices of every dimension. */
  readonly space: S;
  /** How good a point is, lower is better: the held-out loss of a model tuned so. */
  objective(point: SearchPoint<S>): number | Promise<number>;
  /** How many values a point trains. With it the search also looks for points that train few: see `front`. */
  parameters?(point: SearchPoint<S>): number;
  /** The most values that a point may train. */
  readonly most?: number;
  /** Trials in all, past ones too. */
  readonly budget: number;
  /** Default `bayesian()`. */
  readonly strategy?: Strategy;
  /** Trials of an earlier run, in their order: the search goes on as if it had not been interrupted. */
  readonly past?: readonly Trial<S>[];
  /** Called after each trial, so that it can be written down. */
  onTrial?(trial: Trial<S>, trials: number): void | Promise<void>;
  /** Default 0. */
  readonly seed?: number;
}

/** Trials, and what they found. */
export interface SearchResult<S extends SearchSpace> {
  readonly trials: readonly Trial<S>[];
  /** The trial with the lowest loss. */
  readonly best: Trial<S>;
  /** The trials that no other beats in loss without training more, by their parameters. */
  readonly front: readonly Trial<S>[];
}

const list = mustBe.such('a list of trials', Array.isArray);
const rules: Rules<SearchOptions<SearchSpace>> = {
  space: mustBe.given(mustBe.object),
  objective: mustBe.given(mustBe.fn),
  parameters: mustBe.fn,
  most: mustBe.count,
  budget: mustBe.given(mustBe.count),
  strategy: mustBe.fn,
  past: list,
  onTrial: mustBe.fn,
  seed: mustBe.whole,
};

/** A past trial as it must be. Throws `bad-option`. */
const checkTrial = ({ loss, parameters }: Trial): void => {
  if ((loss !== null && !Number.isFinite(loss)) || !Number.isFinite(parameters))
    throw new PeftError(
      'bad-option',
      `search: a past trial has loss ${loss} and parameters ${parameters}; give trials as onTrial gave them`,
    );
};

/**
 * Looks for the best point of a space in a number of trials, by a strategy that learns from them: `bayesian`, `evolving` or `randomly`. A point can be anything
 * that makes a method: ranks, widths, which methods in which layers, learning rates. No point is tried twice; one that trains more than `most` never.
 *
 * A search can be killed and gone on with: write down what `onTrial` gives, and give it as `past`; the trials to come are then those that they would have been.
 * A loss that is not finite counts as a trial that found nothing. Ends early where no point is left. Throws `bad-option`, and what the objective throws.
 */
export const search = async <const S extends SearchSpace>(options: SearchOptions<S>): Promise<SearchResult<S>> => {
  checkOptions('search', rules, options as unknown as SearchOptions<SearchSpace>);
  const { space, objective, parameters, most = Number.POSITIVE_INFINITY, budget, seed = 0 } = options;
  const { strategy = bayesian(), past = [], onTrial } = options;
  checkSpace(space);
  if (options.most !== undefined && !parameters)
    throw new PeftError('bad-option', 'search: most needs parameters, which says how many values a point trains');
  const trials: Trial<S>[] = [];
  const tried: Tried[] = [];
  const seen = new Set<string>();
  const record = (trial: Trial<S>, place: SearchPlace): void => {
    trials.push(trial);
    tried.push({ place, loss: trial.loss, parameters: trial.parameters });
    seen.add(keyOf(place));
  };
  for (const trial of past) {
    checkTrial(trial);
    record(trial, placeOf(space, trial.point));
  }
  const pointOf = (place: SearchPlace): SearchPoint<S> => pointAt(space, place) as SearchPoint<S>;
  const cost = (place: SearchPlace): number | null => {
    if (seen.has(keyOf(place))) return null;
    if (!parameters) return 0;
    const values = parameters(pointOf(place));
    return values > 0 && values <= most ? values : null;
  };
  while (trials.length < budget) {
    const random = randomSource(seed, `search ${trials.length}`);
    const place = await strategy({ space, tried, random, twoAims: parameters !== undefined, cost });
    if (place === null) break;
    const point = pointOf(place);
    const values = cost(place)!;
    const loss = await objective(point);
    const trial: Trial<S> = { point, loss: Number.isFinite(loss) ? loss : null, parameters: values };
    record(trial, place);
    await onTrial?.(trial, trials.length);
  }
  const sound = trials.filter(({ loss }) => loss !== null);
  if (sound.length === 0)
    throw new PeftError(
      'bad-option',
      trials.length === 0
        ? 'search: no point of the space may be tried; each trains nothing or more than most'
        : `search: the objective was not finite in any of ${trials.length} trials; look at the learning rate`,
    );
  const best = sound.reduce((one, other) => (other.loss! < one.loss! ? other : one));
  return { trials, best, front: paretoFront(trials) };
};
