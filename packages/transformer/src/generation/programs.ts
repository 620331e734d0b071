import {
  argmax,
  compile,
  type DType,
  type Executable,
  type Executor,
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
import type { KeyValue, Path } from '../sites.ts';
import type { CausalLM } from '../task-model.ts';

/** The programs of one batch size, and the cache they share. */
export interface Programs {
  /** Reads `tokens` prompt tokens per row: feeds `ids`, `positions` [batch, tokens] and `mask` [batch, tokens]. Compiled once per length. */
  prefill(tokens: number): Promise<Executable>;
  /** Reads one token per row: feeds `ids`, `positions` [batch, 1], `slot` [] and `mask` [batch, slots]. */
  decode(): Promise<Executable>;
  close(): Promise<void>;
}

/** The model and the sizes that the programs are made for. */
export interface ProgramOptions {
  readonly executor: Executor;
  readonly batch: number;
  /** Rows that the model puts in front of the tokens, which take the cache's first slots. */
  readonly prepended: number;
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

/** Builds and compiles on demand the programs that read a prompt into a cache and continue it token by token. */
export const makePrograms = (
  model: CausalLM,
  { executor, batch, prepended, slots, positionLimit }: ProgramOptions,
): Programs => {
  const rows = prepended + slots;
  const variables = new Map<Path, Cached>();
  const cached = (path: Path, own: KeyValue): Cached => {
    const known = variables.get(path) ?? makeCached(path, own, rows);
    variables.set(path, known);
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
  const memory = (updates: [Variable, Tensor][]): Pick<KvCache, 'recall' | 'keep'> => ({
    recall: keptUnder,
    keep: (name, value) => {
      updates.push([keptUnder(name, value.shape, value.dtype), value]);
    },
  });
  const compiled = new Map<number, Promise<Executable>>();

  const step = (tokens: number, keys: number, cacheOf: (updates: [Variable, Tensor][]) => KvCache): ProgramSpec => {
    const updates: [Variable, Tensor][] = [];
    const logits = model.logits(input('ids', [batch, tokens], 'i32'), {
      positions: input('positions', [batch, tokens], 'i32'),
      mask: input('mask', [batch, keys]),
      positionLimit,
      cache: cacheOf(updates),
      lastOnly: true,
    });
    // A sum that is no number tells of logits that are none, where only the likeliest token is read.
    return { outputs: { logits, likeliest: argmax(logits, { axis: 2 }), total: sum(logits) }, updates };
  };

  const prefill = (tokens: number): ProgramSpec =>
    step(tokens, tokens, (updates) => ({
      append: (path, own) => {
        checkRows(path, own, prepended + tokens);
        const whole = (t: Tensor): Tensor => pad(t, { axis: 2, before: 0, after: slots - tokens });
        const { k, v } = cached(path, own);
        updates.push([k, whole(own.k)], [v, whole(own.v)]);
        return own;
      },
      offset: null,
      continues: false,
      ...memory(updates),
    }));

  const decode = (): ProgramSpec => {
    const slot = input('slot', [], 'i32');
    return step(1, slots, (updates) => ({
      append: (path, own) => {
        checkRows(path, own, 1);
        const { k, v } = cached(path, own);
        const all = { k: sliceUpdate(k, own.k, slot, { axis: 2 }), v: sliceUpdate(v, own.v, slot, { axis: 2 }) };
        updates.push([k, all.k], [v, all.v]);
        return all;
      },
      offset: slot,
      continues: true,
      ...memory(updates),
    }));
  };

  const once = (key: number, spec: () => ProgramSpec): Promise<Executable> => {
    const known = compiled.get(key) ?? compile(spec(), { executor });
    compiled.set(key, known);
    // What failed is tried again next time.
    known.catch(() => compiled.delete(key));
    return known;
  };
  return {
    prefill: (tokens) => once(tokens, () => prefill(tokens)),
    decode: () => once(0, decode),
    close: async () => {
      for (const result of await Promise.allSettled(compiled.values()))
        if (result.status === 'fulfilled') result.value.close();
      compiled.clear();
      executor.release([...[...variables.values()].flatMap(({ k, v }) => [k, v]), ...kept.values()]);
    },
  };
};
