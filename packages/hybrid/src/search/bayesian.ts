import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { paretoFront, strips } from './front.ts';
import type { Prediction } from './gaussian-process.ts';
import { anywhere, coordinates, keyOf, neighbour, type SearchPlace } from './space.ts';
import { firstOpen, type SoFar, type Strategy, type Tried } from './trial.ts';

/** Options of `bayesian`. */
export interface BayesianOptions {
  /** Trials at random before the first that is chosen. Default 10. */
  readonly initial?: number;
  /** Places from which the best is climbed to. Default 10. */
  readonly restarts?: number;
  /** Places looked at in all, for one trial. Default 1000. */
  readonly looks?: number;
}

const rules: Rules<BayesianOptions> = { initial: mustBe.count, restarts: mustBe.count, looks: mustBe.count };

/** Density and distribution of N(0, 1). Abramowitz & Stegun, 1964, 7.1.26: to 1.5e-7. */
const density = (z: number): number => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
const distribution = (z: number): number => {
  const t = 1 / (1 + (0.3275911 * Math.abs(z)) / Math.SQRT2);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const upper = (poly * Math.exp((-z * z) / 2)) / 2;
  return z > 0 ? 1 - upper : upper;
};

/** How far a prediction is expected to fall below a level: E max(0, level − y). Jones, Schonlau & Welch, 1998. */
export const expectedImprovement = (level: number, { mean, deviation }: Prediction): number => {
  const z = (level - mean) / deviation;
  return Math.max(0, (level - mean) * distribution(z) + deviation * density(z));
};

type Sound = Tried & { readonly loss: number };

/** The gain that is expected of a place: of the loss alone, or of the area under the front of loss and log(1 + parameters). */
const gainOf = (
  soFar: SoFar,
  sound: readonly Sound[],
  predict: (x: readonly number[]) => Prediction,
): ((place: SearchPlace, parameters: number) => number) => {
  const { space, twoAims } = soFar;
  const at = (place: SearchPlace): Prediction => predict(coordinates(space, place));
  if (!twoAims) {
    const best = Math.min(...sound.map(({ loss }) => loss));
    return (place) => expectedImprovement(best, at(place));
  }
  const costs = sound.map(({ parameters }) => Math.log1p(parameters));
  const losses = sound.map(({ loss }) => loss);
  const beyond = (values: readonly number[]): number => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return most + 0.1 * (most - least || 1);
  };
  const front = paretoFront(sound).map(({ loss, parameters }) => ({ loss: loss!, cost: Math.log1p(parameters) }));
  const open = strips(front, { loss: beyond(losses), cost: beyond(costs) });
  return (place, parameters) => {
    const [cost, prediction] = [Math.log1p(parameters), at(place)];
    return open.reduce((sum, { from, to, level }) => {
      const width = to - Math.max(from, cost);
      return width > 0 ? sum + width * expectedImprovement(level, prediction) : sum;
    }, 0);
  };
};

/**
 * Bayesian optimisation: after some trials at random a Gaussian process predicts the loss of every place, and the next is the one of which
 * most is expected: improvement of the loss, or, where parameters are to be few too, of the area under the Pareto front (expected
 * hypervolume improvement, exact here since parameters are known beforehand). It is looked for by climbing from neighbours of the best trials. As AutoPEFT searches, with a
 * Gaussian process at its mode. Zhou et al., 2023. https://arxiv.org/abs/2301.12132. Throws `bad-option`.
 */
export const bayesian = (options: BayesianOptions = {}): Strategy => {
  checkOptions('bayesian', rules, options);
  const { initial = 10, restarts = 10, looks = 1000 } = options;
  return async (soFar) => {
    const { space, tried, random, cost, twoAims } = soFar;
    const drawn = (): SearchPlace | null => firstOpen(soFar, () => anywhere(space, random));
    const sound = tried.filter((trial): trial is Sound => trial.loss !== null);
    if (tried.length < initial || sound.length < 2) return drawn();
    const { gaussianProcess } = await import('./gaussian-process.ts'); // with ml-matrix, which nothing else needs
    const predict = gaussianProcess(
      sound.map(({ place }) => coordinates(space, place)),
      sound.map(({ loss }) => loss),
    );
    const gain = gainOf(soFar, sound, predict);
    const known = new Map<string, number>();
    const gainAt = (place: SearchPlace): number => {
      const key = keyOf(place);
      const parameters = known.has(key) ? null : cost(place);
      if (!known.has(key)) known.set(key, parameters === null ? Number.NEGATIVE_INFINITY : gain(place, parameters));
      return known.get(key)!;
    };
    const best = twoAims ? paretoFront(sound) : [...sound].sort((a, b) => a.loss - b.loss).slice(0, restarts);
    let [winner, most] = [null as SearchPlace | null, Number.NEGATIVE_INFINITY];
    for (let start = 0; start < restarts; start++) {
      const { place } = best[Math.floor(random() * best.length)]!;
      let at = start > 0 ? neighbour(space, place, random) : anywhere(space, random);
      let height = gainAt(at);
      for (let i = 1; i < looks / restarts; i++) {
        const next = neighbour(space, at, random);
        if (gainAt(next) <= height) continue;
        [at, height] = [next, gainAt(next)];
      }
      if (height > most) [winner, most] = [at, height];
    }
    return winner ?? drawn();
  };
};
