import { createHash } from 'node:crypto';
import {
  type Batch,
  batch,
  filter,
  flatMap,
  fromArray,
  map,
  mismatched,
  pipe,
  type Row,
  repeat,
  type Stage,
  type Stream,
  shuffle,
} from '@peftjs/data';
import { PeftError, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import type { RunConfig } from '../config/schema.ts';
import { countsOf, fitted, tokensOf } from '../learn/fitted.ts';
import type { Lesson } from '../learn/lesson.ts';

/** The examples of a run in numbers. */
export interface Survey {
  readonly examples: number;
  readonly heldOut: number;
  /** Those of the held-out ones that are learnt too, since a file of them has what another has. */
  readonly repeated: number;
  /** Tokens of the examples to learn from, and those of them that are learnt; of tasks whose labels are of examples, those. */
  readonly tokens: number;
  readonly learnt: number;
  readonly longest: number;
  /** How many examples have up to so many tokens, in equal steps; more than the step before. */
  readonly lengths: readonly { readonly upTo: number; readonly examples: number }[];
  /** Examples longer than the context: cut or left out, as was asked for. */
  readonly tooLong: number;
  /** Examples without anything to learn in the context. */
  readonly empty: number;
}

/** The data of a run: what is in it, and its batches. */
export interface Examples {
  readonly survey: Survey;
  /** The rows of some of them, decoded by nobody yet. */
  readonly first: readonly Row[];
  /** The first example, for a sample. */
  readonly firstValue: unknown;
  /** A batch as large as the longest example makes it, for plans. */
  longestBatch(): Promise<Batch>;
  readonly train: Stream<Batch>;
  readonly heldOut: Stream<Batch> | null;
}

/** Lengths are filled up to a multiple of this: each is a program of its own. */
export const lengthStep = 32;

/** Steps in which lengths are told, at most. */
const mostSteps = 16;

/** Lengths in equal steps of a multiple of 8 tokens. */
const lengthsOf = (counts: ReadonlyMap<number, number>, longest: number): Survey['lengths'] => {
  if (longest === 0) return [];
  const step = Math.ceil(longest / mostSteps / 8) * 8;
  const all = Array.from({ length: Math.ceil(longest / step) }, (_, i) => ({ upTo: (i + 1) * step, examples: 0 }));
  for (const [length, examples] of counts) all[Math.max(0, Math.ceil(length / step) - 1)]!.examples += examples;
  return all;
};

/** A number from 0 to 1 that an example has for ever, wherever it stands. */
const placeOf = (value: unknown): number =>
  createHash('sha256').update(JSON.stringify(value)).digest().readUInt32BE(0) / 2 ** 32;

/** The way in which examples are read. */
export interface ExamplesOptions extends Pick<RunConfig, 'data' | 'batchSize' | 'seed' | 'objective'> {
  readonly context: number;
  /** Called now and then with the number of examples that were read. */
  readonly onRead?: (examples: number) => void;
}

/** An example, and its rows. */
interface Encoded {
  readonly value: unknown;
  readonly rows: readonly Row[];
}

/** The stage that puts rows together, so many examples at a time. */
export const batches = (
  { group, batch: how }: Lesson,
  { batchSize, objective }: Pick<ExamplesOptions, 'batchSize' | 'objective'>,
): Stage<Row, Batch> => {
  const stack = batch({ size: batchSize * group, multipleOf: lengthStep, ...how });
  if (objective?.name !== 'kto') return stack;
  return (rows) => mismatched({ multipleOf: lengthStep })(stack(rows));
};

/** The stage that makes rows of examples. Throws `bad-data` for one that is too long where that is an error. */
const encoded = (
  lesson: Lesson,
  model: TaskModel<Tensor>,
  { data, context }: Pick<ExamplesOptions, 'data' | 'context'>,
): Stage<unknown, Encoded> => {
  const encode = lesson.encoder(model);
  return map(async (value: unknown) => {
    const rows = await encode(value as never);
    const tokens = tokensOf(rows, lesson);
    if (data.tooLong !== 'error' || tokens <= context) return { value, rows };
    throw new PeftError(
      'bad-data',
      `has ${tokens} tokens, and the context is ${context}; give a longer one, or tooLong: cut`,
    );
  });
};

/** The rows of an example as they are learnt; null where it is left out. */
const kept = (
  { rows }: Encoded,
  lesson: Lesson,
  { data, context }: Pick<ExamplesOptions, 'data' | 'context'>,
): readonly Row[] | null =>
  data.tooLong === 'skip' && tokensOf(rows, lesson) > context ? null : fitted(rows, lesson, context);

/** The rows of a stream of examples, one after the other. */
export const rowsOf = (
  examples: Stream<unknown>,
  lesson: Lesson,
  model: TaskModel<Tensor>,
  options: Pick<ExamplesOptions, 'data' | 'context'>,
): Stream<Row> =>
  pipe(
    examples,
    encoded(lesson, model, options),
    flatMap((one: Encoded) => kept(one, lesson, options) ?? []),
  );

/** How many examples a file of held-out ones has, and how many of them are learnt too. Throws `bad-data` where there is none to measure, and where all are learnt. */
const counted = async (
  examples: Stream<Encoded>,
  lesson: Lesson,
  options: ExamplesOptions,
  learnt: ReadonlySet<number>,
): Promise<{ readonly examples: number; readonly repeated: number }> => {
  let [all, repeated] = [0, 0];
  for await (const one of examples.open()) {
    if (!kept(one, lesson, options)) continue;
    all++;
    if (learnt.has(placeOf(lesson.key(one.value)))) repeated++;
  }
  const file = String(options.data.heldOut);
  if (all === 0)
    throw new PeftError('bad-data', `${file}: there is nothing to measure: no example has anything to learn`);
  if (repeated < all) return { examples: all, repeated };
  throw new PeftError(
    'bad-data',
    `${file}: all ${all} held-out examples are among those to learn from, so their loss would tell nothing; give others, or a share as data.heldOut`,
  );
};

/**
 * The examples of a run: read once to count them, and then as a stream of batches. Which of them are held out depends on each alone, so that it stays so when
 * others come. Throws as `openRows`; `bad-data` with the place for what is no example, for one that is too long where that is an error, and where nothing is to learn.
 */
export const openExamples = async (
  lesson: Lesson,
  model: TaskModel<Tensor>,
  options: ExamplesOptions,
): Promise<Examples> => {
  const { data, seed, context, onRead } = options;
  const raw = await lesson.open(data.train);
  const share = typeof data.heldOut === 'number' ? data.heldOut : 0;

  let [examples, held, tokens, learnt, longest, tooLong, empty, read] = [0, 0, 0, 0, 0, 0, 0, 0];
  const first: Row[] = [];
  const lengths = new Map<number, number>();
  let longestRows: readonly Row[] = [];
  let firstValue: unknown = null;
  // The lowest place, and how many examples have it: the same example twice has the same.
  let [least, lowest] = [Number.POSITIVE_INFINITY, 0];
  const places = new Set<number>();
  for await (const one of pipe(raw, encoded(lesson, model, options)).open()) {
    onRead?.(++read);
    const isLong = tokensOf(one.rows, lesson) > context;
    if (isLong) tooLong++;
    const own = kept(one, lesson, options);
    if (!own) {
      if (!isLong || data.tooLong !== 'skip') empty++;
      continue;
    }
    const place = placeOf(lesson.key(one.value));
    if (place <= least) [least, lowest] = [place, place < least ? 1 : lowest + 1];
    if (place < share) held++;
    if (typeof data.heldOut === 'string') places.add(place);
    examples++;
    const counts = countsOf(own, lesson);
    tokens += counts.tokens;
    learnt += counts.learnt;
    const length = tokensOf(own, lesson);
    lengths.set(length, (lengths.get(length) ?? 0) + 1);
    if (length > longest || longestRows.length === 0) [longest, longestRows] = [length, own];
    if (first.length < 2) first.push(...own.slice(0, 2 - first.length));
    firstValue ??= one.value;
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

  const isHeldOut = (value: unknown): boolean => placeOf(lesson.key(value)) < limit;
  const inBatches = batches(lesson, options);
  // Examples are shuffled, not rows: those of a pair stay together.
  const shuffled = pipe(
    raw,
    filter((value: unknown) => !isHeldOut(value)),
    shuffle({ seed }),
    repeat(),
  );
  const train = inBatches(rowsOf(shuffled, lesson, model, options));
  const apart = typeof data.heldOut === 'string' ? await lesson.open([data.heldOut]) : null;
  const own = apart && (await counted(pipe(apart, encoded(lesson, model, options)), lesson, options, places));
  const measured = apart ?? (held > 0 ? pipe(raw, filter(isHeldOut)) : null);
  return {
    survey: {
      examples: examples - held,
      heldOut: own?.examples ?? held,
      repeated: own?.repeated ?? 0,
      tokens,
      learnt,
      longest,
      lengths: lengthsOf(lengths, longest),
      tooLong,
      empty,
    },
    first,
    firstValue,
    train,
    heldOut: measured && inBatches(rowsOf(measured, lesson, model, options)),
    longestBatch: async () => {
      const copies = Array.from({ length: options.batchSize }, () => longestRows).flat();
      for await (const one of inBatches(fromArray(copies)).open()) return one;
      throw new PeftError('bad-data', 'there is no example');
    },
  };
};
