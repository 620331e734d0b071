import type { Random } from '@peftjs/tensor';
import type { SearchPlace, SearchPoint, SearchSpace } from './space.ts';

/** A point that was tried: plain data, that JSON keeps. */
export interface Trial<S extends SearchSpace = SearchSpace> {
  readonly point: SearchPoint<S>;
  /** The objective's value; null where that was not finite. */
  readonly loss: number | null;
  /** Trained values, where the search counts them; else 0. */
  readonly parameters: number;
}

/** A trial with its place. */
export interface Tried {
  readonly place: SearchPlace;
  readonly loss: number | null;
  readonly parameters: number;
}

/** The state of a search, of which a strategy makes the next place. */
export interface SoFar {
  readonly space: SearchSpace;
  readonly tried: readonly Tried[];
  readonly random: Random;
  /** Whether parameters are to be few as well. */
  readonly twoAims: boolean;
  /** How many values a place would train; null where it may not be tried: it was, or it trains nothing or too much. */
  cost(place: SearchPlace): number | null;
}

/** The way in which the next place is found, from the trials so far and chance alone; null where it finds none. */
export type Strategy = (soFar: SoFar) => Promise<SearchPlace | null>;

/** Draws places until one may be tried. */
export const firstOpen = ({ cost }: Pick<SoFar, 'cost'>, draw: () => SearchPlace): SearchPlace | null => {
  for (let i = 0; i < 1000; i++) {
    const place = draw();
    if (cost(place) !== null) return place;
  }
  return null;
};
