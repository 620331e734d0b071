import type { Executor } from '@peftjs/tensor';
import type { CausalLM } from '../../task-model.ts';
import { compileStep, type Step } from '../programs.ts';
import { type CacheRows, cacheRows } from './cache-rows.ts';
import type { KvSizes } from './kv-sizes.ts';
import { moveSpec, parkSpec, readSpec, stepSpec } from './specs.ts';

/** A model whose rows are read by voices of their own: what core's `mixBatch` makes. */
export interface MixedRows<V> {
  readonly model: CausalLM;
  /** Which voice each row is read by, from now on. */
  assign(voices: readonly V[]): Promise<void>;
}

/** The models that a running batch is made of. A voice is a base alone or with an adapter. */
export interface RunningModels<V> {
  readonly voices: readonly V[];
  /** The model of one voice. */
  alone(voice: V): CausalLM;
  /** A model of so many rows of any voices; it is asked for where there are several voices. */
  mixed(rows: number): MixedRows<V>;
}

/** Models, and those of mixed rows that were made of them. */
export interface MadeModels<V> {
  readonly models: RunningModels<V>;
  readonly number: number;
  mixed(size: number): MixedRows<V>;
}

/** The columns of the programs that read prompts. */
const pieces = [32, 128] as const;

/** Slots beyond the longest text: after so many steps all rows are moved back. */
const slack = 64;

/** 1, 2, 4, … and the most. */
const sizesUpTo = (rows: number): readonly number[] => {
  const powers = Array.from({ length: Math.ceil(Math.log2(rows)) }, (_, i) => 2 ** i);
  return [...powers, rows];
};

/** Programs by name, each compiled once. */
const programTable = (executor: Executor) => {
  const made = new Map<string, Promise<Step>>();
  return {
    get: (name: string, spec: () => Parameters<typeof compileStep>[0]): Promise<Step> => {
      const known = made.get(name) ?? compileStep(spec(), executor);
      made.set(name, known);
      // What failed is tried again next time.
      known.catch(() => made.delete(name));
      return known;
    },
    drop: async (isStale: (name: string) => boolean): Promise<void> => {
      for (const [name, one] of [...made])
        if (isStale(name)) {
          made.delete(name);
          await one.then((step) => step.close()).catch(() => {});
        }
    },
  };
};

/** The programs of a running batch, and the caches that they share. A set of models shares with those before it what is made of the same voices. */
export interface RunningPrograms<V> {
  /** Numbers of rows that there are programs for, ascending. */
  readonly sizes: readonly number[];
  /** Columns in which prompts are read, ascending. */
  readonly columns: readonly number[];
  /** One row, in which a prompt is read. */
  readonly stage: CacheRows;
  /** Texts that have ended. */
  readonly store: CacheRows;
  /** The rows that run. */
  cacheOf(size: number): CacheRows;
  /** The caches that a move between sizes reads, in the order in which spans name it; from 0 rows the stage alone. */
  sources(size: number): readonly CacheRows[];
  made(models: RunningModels<V>): MadeModels<V>;
  numberOf(voice: V): number;
  reader(of: MadeModels<V>, voice: V, columns: number): Promise<Step>;
  stepper(of: MadeModels<V>, size: number, voice: V): Promise<Step>;
  mover(from: number, to: number): Promise<Step>;
  parker(size: number): Promise<Step>;
  recaller(): Promise<Step>;
  /** Compiles all of them. */
  compile(of: MadeModels<V>): Promise<void>;
  /** Closes those that other models do not have; gives the voices that are no more. */
  keepTo(of: MadeModels<V>): Promise<readonly V[]>;
  close(): Promise<void>;
}

/** The sizes of caches. */
export interface RunningSizes {
  readonly executor: Executor;
  readonly context: number;
  readonly rows: number;
  readonly kept: number;
  readonly onCompile?: (done: number, total: number) => void;
}

/** Makes the programs of a running batch, each compiled when it is first asked for. */
export const runningPrograms = <V>(
  kv: KvSizes,
  { executor, context, rows, kept, onCompile }: RunningSizes,
): RunningPrograms<V> => {
  const sizes = sizesUpTo(rows);
  const columns = pieces.filter((count, i) => i === 0 || count <= context);
  const stage = cacheRows('read', kv, 1, context + columns.at(-1)!);
  const store = cacheRows('kept', kv, kept, context);
  const caches = new Map(sizes.map((size) => [size, cacheRows(`running_${size}`, kv, size, context + slack)]));
  const cacheOf = (size: number): CacheRows => caches.get(size)!;
  const { get, drop } = programTable(executor);
  const numbers = new Map<V, number>();
  let [numbered, made] = [0, 0];
  const numberOf = (voice: V): number => {
    const number = numbers.get(voice) ?? numbered++;
    numbers.set(voice, number);
    return number;
  };
  const sources = (size: number): readonly CacheRows[] => (size === 0 ? [stage] : [stage, cacheOf(size)]);
  const reader: RunningPrograms<V>['reader'] = ({ models: { alone } }, voice, count) =>
    get(`voice ${numberOf(voice)} reads ${count}`, () => readSpec(alone(voice), stage, count, context));
  const stepper: RunningPrograms<V>['stepper'] = ({ models, number, mixed }, size, voice) =>
    size === 1 || models.voices.length === 1
      ? get(`voice ${numberOf(voice)} steps ${size}`, () => stepSpec(models.alone(voice), cacheOf(size), context))
      : get(`mixed ${number} ${size}`, () => stepSpec(mixed(size).model, cacheOf(size), context));
  const mover = (from: number, to: number): Promise<Step> =>
    get(`move ${from} ${to}`, () => moveSpec(sources(from), cacheOf(to)));
  const parker = (size: number): Promise<Step> => get(`park ${size}`, () => parkSpec(cacheOf(size), store));
  const recaller = (): Promise<Step> => get('recall', () => moveSpec([store], stage));
  return {
    sizes,
    columns,
    stage,
    store,
    cacheOf,
    sources,
    numberOf,
    made: (models) => {
      const all = new Map<number, MixedRows<V>>();
      return {
        models,
        number: made++,
        mixed: (size) => {
          const found = all.get(size) ?? models.mixed(size);
          all.set(size, found);
          return found;
        },
      };
    },
    reader,
    stepper,
    mover,
    parker,
    recaller,
    compile: async (of) => {
      const { voices } = of.models;
      const all = [
        recaller,
        ...sizes.flatMap((size, i) => [
          () => parker(size),
          ...[...new Set([sizes[i - 1] ?? 0, size, sizes[i + 1] ?? size])].map((from) => () => mover(from, size)),
          () => stepper(of, size, voices[0]!),
        ]),
        ...voices.flatMap((voice) => [
          ...columns.map((count) => () => reader(of, voice, count)),
          () => stepper(of, 1, voice),
        ]),
      ];
      for (const [i, make] of all.entries()) {
        await make();
        onCompile?.(i + 1, all.length);
      }
    },
    keepTo: async ({ models, number }) => {
      const gone = [...numbers].filter(([voice]) => !models.voices.includes(voice));
      for (const [voice] of gone) numbers.delete(voice);
      const stale = gone.map(([, own]) => `voice ${own} `);
      await drop(
        (name) =>
          (name.startsWith('mixed ') && !name.startsWith(`mixed ${number} `)) ||
          stale.some((begin) => name.startsWith(begin)),
      );
      return gone.map(([voice]) => voice);
    },
    close: async () => {
      await drop(() => true);
      executor.release([stage, store, ...caches.values()].flatMap((cache) => cache.variables()));
    },
  };
};
