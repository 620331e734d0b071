import { createHash } from 'node:crypto';
import { type Batch, batch, filter, flatMap, ignored, map, pipe, repeat, type Stream, shuffle } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import type { RunConfig } from '../config/schema.ts';
import { type Encoded, type Encoder, type Example, encodeExample } from './encode-example.ts';
import { openItems } from './open-items.ts';

/** The examples of a run in numbers. */
export interface Survey {
  readonly examples: number;
  readonly heldOut: number;
  /** Tokens of the examples to learn from, and those of them that are learnt. */
  readonly tokens: number;
  readonly learnt: number;
  readonly longest: number;
  /** Examples longer than the context: cut or left out, as was asked for. */
  readonly tooLong: number;
  /** Examples without anything to learn in the context. */
  readonly empty: number;
}

/** The data of a run: what is in it, and its batches. */
export interface Examples {
  readonly survey: Survey;
  /** Some of them, decoded by nobody yet. */
  readonly first: readonly Encoded[];
  /** The first conversation or prompt, for a sample. */
  readonly firstValue: Example;
  readonly train: Stream<Batch>;
  readonly heldOut: Stream<Batch> | null;
}

/** Lengths are filled up to a multiple of this: each is a program of its own. */
export const lengthStep = 32;

/** A number from 0 to 1 that an example has for ever, wherever it stands. */
const placeOf = (value: unknown): number =>
  createHash('sha256').update(JSON.stringify(value)).digest().readUInt32BE(0) / 2 ** 32;

/** A row that fits into the context; null where nothing of it is to be learnt. */
const fitted = ({ ids, labels }: Encoded, context: number): Encoded | null => {
  const own = { ids: ids.slice(0, context), labels: labels.slice(0, context) };
  return own.labels.every((label) => label === ignored) ? null : own;
};

/** The way in which examples are read. */
export interface ExamplesOptions extends Pick<RunConfig, 'data' | 'batchSize' | 'seed'> {
  readonly context: number;
  /** Called now and then with the number of examples that were read. */
  readonly onRead?: (examples: number) => void;
}

/**
 * The examples of a run: read once to count them, and then as a stream of batches. Which of them are held out depends on each alone, so that it stays so when
 * others come. Throws as `openRows`; `bad-data` with the place for what is no example, for one that is too long where that is an error, and where nothing is to learn.
 */
export const openExamples = async (encoder: Encoder, options: ExamplesOptions): Promise<Examples> => {
  const { data, batchSize, seed, context, onRead } = options;
  const raw = await openItems(data.train, data);
  const encoded = map((value: Example) => ({ value, ...encodeExample(value, encoder) }));
  const checked = map((row: Encoded & { readonly value: Example }) => {
    if (data.tooLong === 'error' && row.ids.length > context)
      throw new PeftError(
        'bad-data',
        `has ${row.ids.length} tokens, and the context is ${context}; give a longer one, or tooLong: cut`,
      );
    return row;
  });
  const fits = ({ ids }: Encoded): boolean => data.tooLong !== 'skip' || ids.length <= context;
  const share = typeof data.heldOut === 'number' ? data.heldOut : 0;

  let [examples, held, tokens, learnt, longest, tooLong, empty, read] = [0, 0, 0, 0, 0, 0, 0, 0];
  const first: Encoded[] = [];
  let firstValue: Example | null = null;
  // The lowest place, and how many examples have it: the same example twice has the same.
  let [least, lowest] = [Number.POSITIVE_INFINITY, 0];
  for await (const row of pipe(raw, encoded, checked).open()) {
    onRead?.(++read);
    if (row.ids.length > context) tooLong++;
    const own = fits(row) ? fitted(row, context) : null;
    if (!own) {
      if (fits(row)) empty++;
      continue;
    }
    const place = placeOf(row.value);
    if (place <= least) [least, lowest] = [place, place < least ? 1 : lowest + 1];
    if (place < share) held++;
    examples++;
    tokens += own.ids.length;
    learnt += own.labels.reduce((n, label) => n + (label === ignored ? 0 : 1), 0);
    longest = Math.max(longest, own.ids.length);
    if (first.length < 2) first.push(own);
    firstValue ??= row.value;
  }
  if (examples === 0)
    throw new PeftError(
      'bad-data',
      `${data.train.join(', ')}: there is nothing to learn: ${read === 0 ? 'no examples' : `of ${read} examples ${tooLong} are longer than ${context} tokens, ${empty} have nothing to learn`}`,
    );
  // Of a small file the share may be none: then it is the one with the lowest place, unless that is all there is.
  const takesLowest = share > 0 && held === 0 && examples >= 10 && lowest <= examples / 2;
  const limit = takesLowest ? least + 2 ** -33 : share;
  if (takesLowest) held = lowest;
  if (held === examples)
    throw new PeftError(
      'bad-data',
      `${data.train.join(', ')}: all ${examples} examples are held out; give a smaller share as heldOut`,
    );

  const rows = (stream: Stream<Example>, keep: (value: Example) => boolean): Stream<Encoded> =>
    pipe(
      stream,
      filter(keep),
      encoded,
      checked,
      flatMap((row: Encoded) => {
        const own = fits(row) ? fitted(row, context) : null;
        return own ? [own] : [];
      }),
    );
  const shapes = { size: batchSize, multipleOf: lengthStep, mask: false };
  const isHeldOut = (value: unknown): boolean => placeOf(value) < limit;
  const train = pipe(
    rows(raw, (value) => !isHeldOut(value)),
    shuffle({ seed }),
    repeat(),
    batch(shapes),
  );
  const heldOut =
    typeof data.heldOut === 'string'
      ? pipe(
          rows(await openItems([data.heldOut], data), () => true),
          batch(shapes),
        )
      : held > 0
        ? pipe(rows(raw, isHeldOut), batch(shapes))
        : null;
  const survey = { examples: examples - held, heldOut: held, tokens, learnt, longest, tooLong, empty };
  return { survey, first, firstValue: firstValue!, train, heldOut };
};
