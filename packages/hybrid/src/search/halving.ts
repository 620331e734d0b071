import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { SearchPlace, SearchSpace } from './space.ts';
import type { SoFar, Strategy, Tried } from './trial.ts';

/** Options of `halving`. */
export interface HalvingOptions {
  /** The dimension that says how much a trial costs, from the least on: steps. */
  readonly effort: string;
  /** η: of so many candidates one goes on. Default 3. */
  readonly factor?: number;
  /** Candidates at the least effort, drawn at random. Default: all that the space has. */
  readonly candidates?: number;
}

const rules: Rules<HalvingOptions> = {
  effort: mustBe.given(mustBe.text),
  factor: mustBe.such('a whole number of at least 2', (v) => Number.isSafeInteger(v) && (v as number) >= 2),
  candidates: mustBe.count,
};

/** The most points of a space that is searched so; they are listed. */
const most = 100_000;

/** All places of a space, the last dimension changing first. */
const everywhere = (space: SearchSpace): readonly SearchPlace[] => {
  const sizes = Object.values(space).map((choices) => choices.length);
  const count = sizes.reduce((a, b) => a * b, 1);
  if (count > most)
    throw new PeftError(
      'bad-option',
      `halving: the space has ${count} points, and ${most} are the most; give fewer choices`,
    );
  return sizes.reduce<SearchPlace[]>(
    (places, size) => places.flatMap((place) => Array.from({ length: size }, (_, i) => [...place, i])),
    [[]],
  );
};

const without = (place: SearchPlace, at: number): string => place.filter((_, i) => i !== at).join(' ');

/** The candidates of a rung, the best first; those whose loss was not finite are left behind. */
const ranked = (rung: readonly Tried[]): readonly Tried[] =>
  rung.filter(({ loss }) => loss !== null).sort((a, b) => a.loss! - b.loss!);

/**
 * Successive halving: all candidates are tried with the least effort, the best of them, one in η, with the next, and so on; the search ends when the last effort is
 * done. Of n candidates max(1, ⌊n/η⌋) go on. Each trial begins anew. Throws `bad-option` for a dimension that there is not, or whose choices do not grow.
 * Jamieson & Talwalkar, 2016, https://arxiv.org/abs/1502.07943; η and the floor as in Li et al., 2018 (Hyperband), https://arxiv.org/abs/1603.06560
 */
export const halving = (options: HalvingOptions): Strategy => {
  checkOptions('halving', rules, options);
  const { effort, factor = 3, candidates = Number.POSITIVE_INFINITY } = options;
  return async ({ space, tried, random, cost }: SoFar) => {
    const at = Object.keys(space).indexOf(effort);
    const efforts = space[effort] ?? [];
    const numbers = efforts.filter((v) => typeof v === 'number');
    if (numbers.length < Math.max(1, efforts.length) || numbers.some((v, i) => i > 0 && v <= numbers[i - 1]!))
      throw new PeftError(
        'bad-option',
        `halving: effort ${effort} must be a dimension of the space whose choices are numbers that grow, got ${efforts.join(', ') || 'none'}`,
      );
    const rungs = efforts.map((_, rung) => tried.filter(({ place }) => place[at] === rung));
    const open = everywhere(space).filter((place) => place[at] === 0 && cost(place) !== null);
    if (open.length > 0 && rungs[0]!.length < candidates) return open[Math.floor(random() * open.length)]!;
    for (let rung = 1; rung < efforts.length; rung++) {
      const before = rungs[rung - 1]!;
      const wanted = Math.max(1, Math.floor(before.length / factor));
      const known = new Set(rungs[rung]!.map(({ place }) => without(place, at)));
      const next = ranked(before)
        .slice(0, wanted)
        .find(({ place }) => !known.has(without(place, at)));
      if (next) return next.place.map((v, i) => (i === at ? rung : v));
    }
    return null;
  };
};
