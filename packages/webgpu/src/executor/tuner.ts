import { hashText } from '@peftjs/tensor/executor';
import type { Choice, Trial } from '../kernel.ts';

/** An answer: the way, and a hash of the kernels that were timed to find it. */
export interface Answer {
  readonly way: string;
  readonly kernels: string;
}

/** Where answers are kept from one process to the next. */
export interface TuneStore {
  /** The stored timings; none where they can't be read or aren't those that were saved. */
  load(): Promise<ReadonlyMap<string, Answer>>;
  /** Adds to what is there; an answer that is there already stays unless it is of other kernels. Never throws. */
  save(answers: ReadonlyMap<string, Answer>): Promise<void>;
}

/** Finds out, by time, which of several ways to compute something is the fastest on a device. */
export interface Tuner {
  /** The way for a choice as far as it is known; others are noted for `settle`. */
  choose(choice: Choice): string | undefined;
  /** Answers what was noted. Tells whether `choose` knows more than before. */
  settle(): Promise<boolean>;
}

/** The means of a tuner. */
export interface TunerOptions {
  /** Milliseconds that a trial takes; infinite where it can't be run. */
  time(trial: Trial): Promise<number>;
  /** Milliseconds on a clock. */
  now(): number;
  readonly store: TuneStore;
  /** Milliseconds after which one call of `settle` begins no more trials, once it has made a choice. */
  readonly budget: number;
}

/** Another way must take at most this part of the time of the first. */
const worthwhile = 0.95;

/** All texts that a choice compiles. */
const kernelsOf = ({ ways, trial }: Choice): string =>
  hashText(ways.map((way) => [way, ...trial(way).plan.dispatches.map(({ wgsl }) => wgsl)].join('\n')).join('\n'));

/** The fastest way of those that were timed before it was late, and whether that is all; null where not even the first could be timed. */
const fastest = async (
  { ways, trial }: Choice,
  time: TunerOptions['time'],
  isLate: () => boolean,
): Promise<{ readonly way: string; readonly ofAll: boolean } | null> => {
  if (isLate()) return null;
  const first = await time(trial(ways[0]!));
  if (first === Number.POSITIVE_INFINITY) return null;
  let best = { way: ways[0]!, ms: worthwhile * first };
  for (const way of ways.slice(1)) {
    if (isLate()) return { way: best.way, ofAll: false };
    const ms = await time(trial(way));
    if (ms < best.ms) best = { way, ms };
  }
  return { way: best.way, ofAll: true };
};

/** A choice among other ways is another choice: how many there are depends on the sizes themselves. */
const keyOf = ({ key, ways }: Choice): string => `${key}: ${ways.join(', ')}`;

/** A tuner. What it has answered, it answers the same for as long as it lives. */
export const makeTuner = ({ time, now, store, budget }: TunerOptions): Tuner => {
  const known = new Map<string, string>();
  const asked = new Map<string, Choice>();
  let stored: Promise<ReadonlyMap<string, Answer>> | undefined;

  const answer = async (choice: Choice, until: number, found: Map<string, Answer>): Promise<string> => {
    const kernels = kernelsOf(choice);
    stored ??= store.load();
    const old = (await stored).get(keyOf(choice));
    if (old?.kernels === kernels && choice.ways.includes(old.way)) return old.way;
    // One choice is made in any case, so that where each takes long, the next process has one less.
    const best = await fastest(choice, time, () => found.size > 0 && now() >= until);
    // What there was no time or memory for is fixed in this process; a later one asks again.
    if (best?.ofAll) found.set(keyOf(choice), { way: best.way, kernels });
    return best?.way ?? choice.ways[0]!;
  };

  return {
    choose: (choice) => {
      const key = keyOf(choice);
      const way = known.get(key);
      if (way === undefined) asked.set(key, choice);
      return way;
    },
    settle: async () => {
      if (asked.size === 0) return false;
      const until = now() + budget;
      const found = new Map<string, Answer>();
      for (const [key, choice] of asked) known.set(key, await answer(choice, until, found));
      asked.clear();
      if (found.size > 0) await store.save(found);
      return true;
    },
  };
};
