import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import { requireModel } from '../../require-model.ts';
import type { CausalLM } from '../../task-model.ts';
import type { Prompt } from '../prompts.ts';
import { placesOf, type Span } from './cache-rows.ts';
import { knownTexts } from './known-texts.ts';
import { type KvSizes, kvSizesOf, sameSizes } from './kv-sizes.ts';
import { type RunningModels, runningPrograms } from './running-programs.ts';

/** The sizes of a running batch. */
export interface RunningOptions extends OnExecutor {
  /** Tokens of prompt and continuation together. */
  readonly context: number;
  /** Texts that run together, at most. Default 8. */
  readonly rows?: number;
  /** Texts that have ended of which the cache is kept. Default: as many as rows. */
  readonly kept?: number;
  /** Told how many of the programs are compiled. */
  readonly onCompile?: (done: number, total: number) => void;
}

/** A text that runs. */
export interface RunningText<V> {
  readonly voice: V;
  /** Its tokens, the prompt's first; the last of them is read by the next step. */
  readonly tokens: readonly number[];
}

/** Texts that are continued together, token by token; each joins and leaves when it likes. */
export interface RunningBatch<V> {
  /** Texts that run. */
  texts(): readonly RunningText<V>[];
  /** Whether another text may join. */
  hasRoom(): boolean;
  /** The prompt that is being read, which no other may be beside. */
  reading(): V | null | undefined;
  /** Begins to read a prompt; gives how many of its tokens are known from a text before. */
  begin(voice: V, prompt: Prompt): Promise<number>;
  /** Reads a piece of the prompt; gives the logits of the token after it once it is read, else null. */
  read(): Promise<Float32Array | null>;
  /** The prompt that was read joins the others with its first token. */
  join(token: number): Promise<RunningText<V>>;
  /** Forgets the prompt that is being read. */
  abandon(): void;
  /** Reads the last token of every text; gives the logits of the next of each. */
  step(): Promise<ReadonlyMap<RunningText<V>, Float32Array>>;
  /** Adds a token to a text, which the next step reads. */
  push(text: RunningText<V>, token: number): void;
  /** A text ends; what is known of it serves later ones that begin as it does. */
  leave(text: RunningText<V>): Promise<void>;
  /** Forgets all texts, those that run and those that are kept: after a pass has failed. */
  clear(): void;
  /**
   * Compiles what other models need that are to be gone on with, while texts run, and gives what puts them in place: to be called between two steps, when no text of a voice that is no
   * more runs.
   */
  prepare(models: RunningModels<V>): Promise<() => Promise<void>>;
  /** Frees the programs and the caches. */
  close(): Promise<void>;
}

interface Row<V> extends RunningText<V> {
  readonly tokens: number[];
  /** How many of its tokens are in the cache. */
  known: number;
}

/** A prompt that begins as a kept text for fewer tokens is read from its start. */
const leastKnown = 8;

const rules: Rules<RunningOptions> = {
  ...onExecutor,
  context: mustBe.given(mustBe.count),
  rows: mustBe.count,
  kept: mustBe.count,
  onCompile: mustBe.fn,
};

/** Whether a model can be in a running batch beside others of the same base: see `kvSizesOf`. */
export const canRun = (model: CausalLM, base: CausalLM = model): boolean => {
  const [own, theirs] = [kvSizesOf(model), kvSizesOf(base)];
  return own !== null && theirs !== null && sameSizes(own, theirs);
};

const sizesOf = <V>({ voices, alone }: RunningModels<V>): KvSizes => {
  const all = voices.map((voice) => {
    const model = alone(voice);
    requireModel('runningBatch', model, 'logits');
    return kvSizesOf(model);
  });
  const [first] = all;
  if (first && all.every((one) => one && sameSizes(one, first))) return first;
  throw new PeftError(
    'bad-option',
    'runningBatch: needs models of one base whose keys and values depend on the tokens before alone; run others by a generator of their own',
  );
};

/**
 * Continues texts that come and go. All that run are rows of one program, which reads a token of each at once; a text that comes is read in pieces beside them and joins at the next
 * token, and one that ends leaves its row. The keys and values of texts that have ended are kept for a while, and a prompt that begins as one of them does is read from where they part.
 * Programs are compiled for 1, 2, 4, … rows and for pieces of prompts, when it is made and by `prepare`, and none later. The rows of a cache end at the same slot, so one slot serves all:
 * a row that joins is put where it ends there, and all are moved back where slots run out. Continuous batching: Yu et al., "Orca", 2022,
 * https://www.usenix.org/conference/osdi22/presentation/yu. Throws `bad-option` for models of which `canRun` is false.
 */
export const runningBatch = async <V>(models: RunningModels<V>, options: RunningOptions): Promise<RunningBatch<V>> => {
  checkOptions('runningBatch', rules, options);
  const { executor, context, rows: most = 8, kept = most, onCompile } = options;
  const kv = sizesOf(models);
  const programs = runningPrograms<V>(kv, {
    executor,
    context,
    rows: most,
    kept,
    ...(onCompile && { onCompile }),
  });
  const { sizes, columns, stage, store, cacheOf } = programs;
  const known = knownTexts<V>(kept);
  let current = programs.made(models);
  /** The voices that the rows are read by. */
  let assigned = '';

  let rows: (Row<V> | null)[] = [];
  /** The slot of the next token. */
  let end = 0;
  let staged: { readonly voice: V; readonly tokens: number[]; done: number } | null = null;

  /** Puts the rows, and perhaps the prompt that was read, into a cache of so many rows, where they all end at one slot. */
  const move = async (to: number, next: readonly (Row<V> | null)[], joining: Row<V> | null): Promise<void> => {
    const from = rows.length;
    const all = programs.sources(from);
    const longest = Math.max(...next.map((row) => row?.known ?? 0));
    const spans = Array.from({ length: to }, (_, i): Span | null => {
      const row = next[i];
      if (!row) return null;
      const place = { count: row.known, to: longest - row.known };
      return row === joining
        ? { cache: 0, row: 0, start: 0, ...place }
        : { cache: 1, row: rows.indexOf(row), start: end - row.known, ...place };
    });
    const program = await programs.mover(from, to);
    await program.run({ places: placesOf(all, cacheOf(to), spans) }, { read: [] });
    rows = Array.from({ length: to }, (_, i) => next[i] ?? null);
    end = longest;
    assigned = '';
  };

  const isThere = (row: Row<V> | null): row is Row<V> => row !== null;
  /** Smaller where half of the rows would do. */
  const shrink = async (): Promise<void> => {
    const running = rows.filter(isThere);
    if (running.length === 0) {
      rows = [];
      return;
    }
    const smaller = sizes[sizes.indexOf(rows.length) - 1];
    if (smaller !== undefined && running.length <= smaller) await move(smaller, running, null);
    else if (end === cacheOf(rows.length).slots) await move(rows.length, rows, null);
  };

  const ofRow = (text: RunningText<V>): Row<V> => {
    const row = rows.find((one) => one === text);
    if (row) return row;
    throw new PeftError('bad-program', 'runningBatch: this text has left');
  };

  const batch: RunningBatch<V> = {
    texts: () => rows.filter(isThere),
    hasRoom: () => rows.filter(isThere).length < most,
    reading: () => staged?.voice,
    begin: async (voice, prompt) => {
      if (staged) throw new PeftError('bad-program', 'runningBatch: another prompt is being read; join or abandon it');
      const tokens = Array.from(prompt);
      if (tokens.length === 0 || tokens.length > context)
        throw new PeftError(
          'bad-data',
          `runningBatch: the prompt has ${tokens.length} tokens; 1 to ${context} are read`,
        );
      const found = known.find(voice, tokens);
      // Of the last token the logits are wanted.
      const count = Math.min(found?.count ?? 0, tokens.length - 1);
      const isWorth = found !== null && count >= leastKnown;
      staged = { voice, tokens, done: isWorth ? count : 0 };
      if (!isWorth) return 0;
      const spans: readonly Span[] = [{ cache: 0, row: found.place, start: 0, count, to: 0 }];
      await (await programs.recaller()).run({ places: placesOf([store], stage, spans) }, { read: [] });
      return count;
    },
    read: async () => {
      if (!staged) throw new PeftError('bad-program', 'runningBatch: no prompt is being read; begin one');
      const { voice, tokens, done } = staged;
      const left = tokens.length - done;
      const size = columns.find((count) => count >= left) ?? columns.at(-1)!;
      const count = Math.min(size, left);
      const ids = new Int32Array(size);
      ids.set(tokens.slice(done, done + count));
      const program = await programs.reader(current, voice, size);
      const { logits } = await program.run(
        {
          ids,
          positions: Int32Array.from(ids, (_, i) => Math.min(done + i, context - 1)),
          slot: Int32Array.of(done),
          last: Int32Array.of(count - 1),
        },
        { read: count === left ? ['logits'] : [] },
      );
      staged.done += count;
      return count === left ? (logits as Float32Array).slice() : null;
    },
    join: async (token) => {
      if (!staged || staged.done < staged.tokens.length)
        throw new PeftError('bad-program', 'runningBatch: no prompt has been read');
      const { voice, tokens, done } = staged;
      const row: Row<V> = { voice, tokens: [...tokens, token], known: done };
      const free = rows.indexOf(null);
      const size = free >= 0 ? rows.length : sizes[sizes.indexOf(rows.length) + 1];
      if (size === undefined) throw new PeftError('bad-program', `runningBatch: all ${most} rows run`);
      const next = [...rows];
      next[free >= 0 ? free : rows.length] = row;
      await move(size, next, row);
      staged = null;
      return row;
    },
    abandon: () => {
      staged = null;
    },
    step: async () => {
      await shrink();
      const size = rows.length;
      const running = rows.filter(isThere);
      if (running.length === 0) return new Map();
      const cache = cacheOf(size);
      const [ids, positions] = [new Int32Array(size), new Int32Array(size)];
      const mask = new Float32Array(size * cache.slots);
      for (const [i, row] of rows.entries()) {
        ids[i] = row?.tokens[row.known] ?? 0;
        positions[i] = row?.known ?? 0;
        mask.fill(1, i * cache.slots + end - (row?.known ?? 0), i * cache.slots + end + 1);
      }
      const late = running.find((row) => row.known !== row.tokens.length - 1);
      if (late) throw new PeftError('bad-program', 'runningBatch: each text needs one more token before a step');
      if (size > 1 && current.models.voices.length > 1) {
        const voices = rows.map((row) => (row ?? running[0]!).voice);
        const wanted = `${size} ${voices.map(programs.numberOf)}`;
        if (assigned !== wanted) await current.mixed(size).assign(voices);
        assigned = wanted;
      }
      const program = await programs.stepper(current, size, running[0]!.voice);
      const { logits } = await program.run({ ids, positions, mask, slot: Int32Array.of(end) }, { read: ['logits'] });
      end++;
      const width = logits!.length / size;
      return new Map(
        rows.flatMap((row, i) => {
          if (!row) return [];
          row.known++;
          return [[row, (logits as Float32Array).slice(i * width, (i + 1) * width)] as const];
        }),
      );
    },
    push: (text, token) => {
      ofRow(text).tokens.push(token);
    },
    leave: async (text) => {
      const row = ofRow(text);
      const at = rows.indexOf(row);
      const place = known.keep(row.voice, row.tokens.slice(0, row.known));
      if (place !== null) {
        const spans: readonly Span[] = [{ cache: 0, row: at, start: end - row.known, count: row.known, to: 0 }];
        const own = { ...store, rows: 1 };
        const feeds = { places: placesOf([cacheOf(rows.length)], own, spans), row: Int32Array.of(place) };
        await (await programs.parker(rows.length)).run(feeds, { read: [] });
      }
      rows[at] = null;
    },
    clear: () => {
      staged = null;
      rows = [];
      known.clear();
    },
    prepare: async (next) => {
      if (!sameSizes(sizesOf(next), kv))
        throw new PeftError('bad-option', 'runningBatch: the models must be of the base that it was made with');
      const made = programs.made(next);
      await programs.compile(made);
      return async () => {
        current = made;
        assigned = '';
        for (const voice of await programs.keepTo(made)) known.forget(voice);
      };
    },
    close: () => programs.close(),
  };
  await programs.compile(current);
  return batch;
};
