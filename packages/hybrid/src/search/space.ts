import { PeftError, type Random } from '@peftjs/tensor';

/** A value that a dimension may have. */
export type Choice = number | string | boolean;

/** A search space: for each dimension its choices, numbers in their order. */
export type SearchSpace = Readonly<Record<string, readonly Choice[]>>;

/** One choice of each dimension. */
export type SearchPoint<S extends SearchSpace = SearchSpace> = { readonly [D in keyof S]: S[D][number] };

/** A point as the number of the choice of each dimension, in the space's order. */
export type SearchPlace = readonly number[];

/** Throws `bad-option` for a space in which there is nothing to choose. */
export const checkSpace = (space: SearchSpace): void => {
  const dimensions = Object.entries(space ?? {});
  const odd = dimensions.flatMap(([name, choices]) => {
    if (!Array.isArray(choices) || choices.length === 0) return [`${name} must be a list of choices`];
    if (
      choices.some(
        (c) => !['number', 'string', 'boolean'].includes(typeof c) || (typeof c === 'number' && !Number.isFinite(c)),
      )
    )
      return [`${name} may hold finite numbers, texts, true and false`];
    return new Set(choices).size < choices.length ? [`${name} has a choice twice`] : [];
  });
  if (dimensions.length === 0) odd.push('space has no dimension');
  if (odd.length > 0) throw new PeftError('bad-option', `search: ${odd.join('; ')}`);
};

/** The point at a place. */
export const pointAt = (space: SearchSpace, place: SearchPlace): SearchPoint =>
  Object.fromEntries(Object.entries(space).map(([name, choices], i) => [name, choices[place[i]!]!]));

/** The place of a point. Throws `bad-option` for one that does not lie in the space. */
export const placeOf = (space: SearchSpace, point: SearchPoint): SearchPlace =>
  Object.entries(space).map(([name, choices]) => {
    const at = choices.indexOf(point?.[name] as Choice);
    if (at >= 0) return at;
    throw new PeftError(
      'bad-option',
      `search: a past trial has ${name} ${JSON.stringify(point?.[name])}, which is no choice of this space; go on with the space that it was made in, or start anew`,
    );
  });

/** A name of a place. */
export const keyOf = (place: SearchPlace): string => place.join(' ');

const below = (n: number, random: Random): number => Math.floor(random() * n);

/** A place drawn at random. */
export const anywhere = (space: SearchSpace, random: Random): SearchPlace =>
  Object.values(space).map((choices) => below(choices.length, random));

/** The place with another choice in one dimension; of numbers, half of the time, the one beside it. */
export const neighbour = (space: SearchSpace, place: SearchPlace, random: Random): SearchPlace => {
  const dimensions = Object.values(space);
  const open = dimensions.flatMap((choices, i) => (choices.length > 1 ? [i] : []));
  const at = open[below(open.length, random)];
  if (at === undefined) return place;
  const { length: n } = dimensions[at]!;
  const now = place[at]!;
  const isNumber = typeof dimensions[at]![0] === 'number';
  const step = random() < 0.5 ? 1 : -1;
  const beside = isNumber && random() < 0.5 && now + step >= 0 && now + step < n;
  const other = beside ? now + step : (now + 1 + below(n - 1, random)) % n;
  return place.map((v, i) => (i === at ? other : v));
};

/** A place as coordinates in which like places lie close: a number's choices evenly over [0, 1], any other choice a coordinate of its own. */
export const coordinates = (space: SearchSpace, place: SearchPlace): number[] =>
  Object.values(space).flatMap((choices, i) => {
    const at = place[i]!;
    if (choices.length === 1) return [];
    if (choices.length === 2 || choices.every((c) => typeof c === 'number')) return [at / (choices.length - 1)];
    return choices.map((_, j) => (j === at ? Math.SQRT1_2 : 0)); // any two lie a distance of 1 apart
  });
