import {
  argmax,
  buildProgram,
  constant,
  type DType,
  type Executable,
  type Executor,
  gather,
  input,
  PeftError,
  type ProgramSpec,
  pad,
  type Shape,
  sameShape,
  shapeError,
  sizeOf,
  sliceUpdate,
  sum,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import type { KvCache } from '../kv-cache.ts';
import type { PassOptions } from '../model.ts';
import type { KeyValue, Path } from '../sites.ts';
import type { Reading } from './reading.ts';

/** A program of a generator. */
export type Step = Pick<Executable, 'run' | 'close'>;

/** Compiles a program that takes of its feeds those that it reads: not all models know positions. */
export const compileStep = async (spec: ProgramSpec, executor: Executor): Promise<Step> => {
  const program = buildProgram(spec);
  const made = await executor.compile(program);
  const names = new Set(program.inputs.map(({ name }) => name));
  return {
    run: (feeds = {}, options) =>
      made.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name))), options),
    close: () => made.close(),
  };
};

/** The programs of one number of prompts, and the cache they share. */
export interface Programs {
  /** Reads prompts in so many columns, by the feeds of a `Reading`. Compiled once per number of columns. */
  prefill(columns: number): Promise<Step>;
  /**
   * Reads one token per row. With several rows for each prompt it also reads `source` i32 [rows]: the row of the cache that each goes on from. Compiled
   * once, or once per number of columns where these are an encoder's.
   */
  decode(columns: number): Promise<Step>;
  close(): Promise<void>;
}

/** The sizes that programs are made for. */
export interface ProgramOptions {
  readonly executor: Executor;
  /** Prompts. */
  readonly batch: number;
  /** Rows that go on from one prompt: beams. */
  readonly each: number;
  /** Tokens that the cache holds per row. */
  readonly slots: number;
  /** All positions are below it. */
  readonly positionLimit: number;
}

interface Cached {
  readonly k: Variable;
  readonly v: Variable;
}

/** The cache of one attention, whose keys and values [batch, heads, tokens, headDim] tell its sizes. */
const makeCached = (path: Path, { k, v }: KeyValue, rows: number): Cached => {
  const zeros = (name: string, [batch, heads, , dim]: Shape): Variable => {
    const shape = [batch!, heads!, rows, dim!];
    return variable(`${path}.${name}`, shape, () => new Float32Array(sizeOf(shape)));
  };
  return { k: zeros('cached_keys', k.shape), v: zeros('cached_values', v.shape) };
};

const zeroValues = (shape: Shape, dtype: DType): TypedArray => {
  const size = sizeOf(shape);
  if (dtype === 'i32') return new Int32Array(size);
  if (dtype === 'f32') return new Float32Array(size);
  throw new PeftError('bad-dtype', `generate: passes keep f32 and i32 values, not ${dtype}`);
};

const checkRows = (path: Path, { k }: KeyValue, rows: number): void => {
  if (k.shape[2] !== rows)
    throw new PeftError(
      'bad-shape',
      `generate: at ${path} middleware of kv hands ${k.shape[2]} keys to next for ${rows} rows; rows in front are to be added to what next returns`,
    );
};

/** Builds and compiles on demand the programs that read prompts into a cache and continue them token by token. */
export const makePrograms = (
  reading: Reading,
  { executor, batch, each, slots, positionLimit }: ProgramOptions,
): Programs => {
  const { prepended } = reading;
  const rows = prepended + slots;
  const variables = new Map<Path, Cached>();
  const cached = (name: string, own: KeyValue, length: number): Cached => {
    const known = variables.get(name) ?? makeCached(name, own, length);
    variables.set(name, known);
    return known;
  };
  const kept = new Map<string, Variable>();
  /** A value that passes leave to later ones; of a kept name the shape and dtype never change. */
  const keptUnder = (name: string, shape: Shape, dtype: DType): Variable => {
    const known = kept.get(name) ?? variable(`kept.${name}`, shape, zeroValues(shape, dtype), dtype);
    if (!sameShape(known.shape, shape) || known.dtype !== dtype)
      throw shapeError(`generate: ${name}`, [known], `was kept so, and is now to be ${dtype} [${shape}]`);
    kept.set(name, known);
    return known;
  };
  /** The rows that go on from a prompt begin as it does. */
  const spread = (t: Tensor): Tensor =>
    each === 1
      ? t
      : gather(
          t,
          constant(
            Int32Array.from({ length: batch * each }, (_, row) => Math.floor(row / each)),
            [batch * each],
          ),
        );
  const spreadKept = (name: string, value: Tensor): Tensor => {
    if (each > 1 && value.shape[0] !== batch)
      throw shapeError(
        `generate: ${name}`,
        [value],
        `is kept from pass to pass, and with beams needs an entry for each of ${batch} sequences; generate with beams: 1`,
      );
    return spread(value);
  };
  const compiled = new Map<string, Promise<Step>>();

  const step = (
    cacheOf: (updates: [Variable, Tensor][]) => KvCache,
    logitsOf: (options: PassOptions) => Tensor,
  ): ProgramSpec => {
    const updates: [Variable, Tensor][] = [];
    const logits = logitsOf({ positionLimit, cache: cacheOf(updates) });
    // A sum that is no number tells of logits that are none, where only the likeliest token is read.
    return { outputs: { logits, likeliest: argmax(logits, { axis: 2 }), total: sum(logits) }, updates };
  };
  const crossName = (path: Path, columns: number): string => `${path}.cross_${columns}`;

  const prefill = (columns: number): ProgramSpec => {
    const tokens = reading.firstTokens(columns);
    return step(
      (updates) => ({
        append: (path, own) => {
          checkRows(path, own, prepended + tokens);
          const whole = (t: Tensor): Tensor => pad(spread(t), { axis: 2, before: 0, after: slots - tokens });
          const all = { k: whole(own.k), v: whole(own.v) };
          const { k, v } = cached(path, all, rows);
          updates.push([k, all.k], [v, all.v]);
          return own;
        },
        cross: (path, theirs) => {
          const all = { k: spread(theirs!.k), v: spread(theirs!.v) };
          const { k, v } = cached(crossName(path, columns), all, all.k.shape[2]!);
          updates.push([k, all.k], [v, all.v]);
          return theirs!;
        },
        offset: null,
        continues: false,
        recall: keptUnder,
        keep: (name, value) => {
          const all = spreadKept(name, value);
          updates.push([keptUnder(name, all.shape, all.dtype), all]);
        },
      }),
      (options) => reading.first(batch, columns, options),
    );
  };

  const decode = (columns: number): ProgramSpec => {
    const slot = input('slot', [], 'i32');
    const source = each > 1 ? input('source', [batch * each], 'i32') : null;
    const earlier = (t: Tensor): Tensor => (source ? gather(t, source) : t);
    return step(
      (updates) => ({
        append: (path, own) => {
          checkRows(path, own, 1);
          const { k, v } = cached(path, own, rows);
          const all = {
            k: sliceUpdate(earlier(k), own.k, slot, { axis: 2 }),
            v: sliceUpdate(earlier(v), own.v, slot, { axis: 2 }),
          };
          updates.push([k, all.k], [v, all.v]);
          return all;
        },
        // All rows of a prompt have the same.
        cross: (path) => {
          const known = variables.get(crossName(path, columns));
          if (!known)
            throw new PeftError(
              'bad-program',
              `generate: middleware of crossKv at ${path} never called next, so there are no keys to go on with; call it`,
            );
          return known;
        },
        offset: slot,
        continues: true,
        recall: (name, shape, dtype) => earlier(keptUnder(name, shape, dtype)),
        keep: (name, value) => {
          updates.push([keptUnder(name, value.shape, value.dtype), value]);
        },
      }),
      (options) => reading.next(batch * each, columns, slots, slot, options),
    );
  };

  const once = (key: string, spec: () => ProgramSpec): Promise<Step> => {
    const known = compiled.get(key) ?? compileStep(spec(), executor);
    compiled.set(key, known);
    // What failed is tried again next time.
    known.catch(() => compiled.delete(key));
    return known;
  };
  return {
    prefill: (columns) => once(`first ${columns}`, () => prefill(columns)),
    decode: (columns) => {
      const own = reading.nextColumns(columns);
      return once(`next ${own}`, () => decode(own));
    },
    close: async () => {
      for (const result of await Promise.allSettled(compiled.values()))
        if (result.status === 'fulfilled') result.value.close();
      compiled.clear();
      executor.release([...[...variables.values()].flatMap(({ k, v }) => [k, v]), ...kept.values()]);
    },
  };
};
