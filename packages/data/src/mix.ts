import { checkOptions, mustBe, type Rules, randomSource } from '@peftjs/tensor';
import { checkCursor, countIn, cursorOf } from './cursor.ts';
import { end, item, opened } from './opened.ts';
import type { Cursor, Opened, Stream } from './stream.ts';

/** A stream, and how often an item of it comes beside those of others. */
export interface MixSource<T> {
  readonly stream: Stream<T>;
  /** Above 0; shares are weights over their sum. */
  readonly weight: number;
}

/** How streams are mixed. */
export interface MixOptions {
  readonly seed: number;
  /** The end of the mixture: once one stream has ended, or all have; then those that are left share what is left. Default `all`. */
  readonly until?: 'first' | 'all';
}

const rules: Rules<MixOptions> = {
  seed: mustBe.given(mustBe.such('a whole number', Number.isSafeInteger)),
  until: mustBe.oneOf(['first', 'all']),
};

/** Draws that are made from one seed; further ones have a seed of their own, so that resuming draws few again. */
const drawsPerSeed = 256;

/**
 * Items of several streams, each drawn from one of them by their weights; the draws depend on the seed and the epoch alone. The items of each stream
 * come in its order. Throws `bad-option` for weights that are none.
 */
export const mix = <T>(sources: readonly MixSource<T>[], options: MixOptions): Stream<T> => {
  checkOptions('mix', rules, options, () =>
    sources.length > 0 && sources.every(({ weight }) => Number.isFinite(weight) && weight > 0)
      ? []
      : ['each stream must have a weight above 0, and there must be one'],
  );
  const { seed, until = 'all' } = options;
  const stage = 'mix';
  const made = { seed, until, weights: sources.map(({ weight }) => weight).join() };
  return {
    open: (at, epoch = 0) => {
      const all = { ...made, epoch };
      const checked = at && checkCursor(stage, all, at);
      let drawn = checked ? countIn(stage, checked, 'drawn') : 0;
      const cursors = (checked?.['inputs'] as readonly (Cursor | null)[] | undefined) ?? [];
      const ended = sources.map((_, i) => checked !== undefined && cursors[i] === null);
      const inputs = sources.map(({ stream }, i): Opened<T> => stream.open(cursors[i] ?? undefined, epoch));
      let random = randomSource(seed, '');
      let isFresh = true;
      let last = 0;
      const draw = (): number => {
        const at = drawn % drawsPerSeed;
        if (at === 0 || isFresh) {
          random = randomSource(seed, `epoch ${epoch} draws ${Math.floor(drawn / drawsPerSeed)}`);
          for (let i = 0; i < at; i++) random();
        }
        isFresh = false;
        drawn++;
        return random();
      };
      const choose = (): number => {
        const left = sources.map(({ weight }, i) => (ended[i] ? 0 : weight));
        let rest = draw() * left.reduce((a, b) => a + b, 0);
        const at = left.findIndex((weight) => weight > 0 && (rest -= weight) < 0);
        return at >= 0 ? at : left.findLastIndex((weight) => weight > 0);
      };
      return opened<T>({
        next: async () => {
          while (!ended.every(Boolean)) {
            const at = choose();
            const next = await inputs[at]!.next();
            if (!next.done) {
              last = at;
              return item(next.value);
            }
            ended[at] = true;
            if (until === 'first') return end;
          }
          return end;
        },
        cursor: () =>
          cursorOf(stage, all, { drawn, inputs: inputs.map((input, i) => (ended[i] ? null : input.cursor())) }),
        begin: async () => {
          for (const input of inputs) await input.begin?.();
        },
        origin: () => inputs[last]!.origin?.() ?? (async () => `stream ${last}`),
        close: async () => {
          for (const input of inputs) await input.return?.();
        },
      });
    },
  };
};
