import {
  concat,
  gather,
  input,
  PeftError,
  type ProgramSpec,
  reshape,
  sliceUpdate,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import type { KvCache } from '../../kv-cache.ts';
import type { PassOptions } from '../../model.ts';
import type { CausalLM } from '../../task-model.ts';
import type { CacheRows } from './cache-rows.ts';

const refuse = (): never => {
  throw new PeftError(
    'bad-program',
    'generate: this model keeps more than keys and values, so its texts are read at once',
  );
};

/** A program over a cache: the keys and values of its tokens are written at one slot of all rows, i32 []. */
const overCache = (
  cache: CacheRows,
  logitsOf: (options: PassOptions) => Tensor,
  positionLimit: number,
): ProgramSpec => {
  const updates: [Variable, Tensor][] = [];
  const slot = input('slot', [], 'i32');
  const kept: KvCache = {
    append: (path, own) => {
      const { k, v } = cache.of(path);
      const all = { k: sliceUpdate(k, own.k, slot, { axis: 2 }), v: sliceUpdate(v, own.v, slot, { axis: 2 }) };
      updates.push([k, all.k], [v, all.v]);
      return all;
    },
    cross: refuse,
    offset: slot,
    continues: true,
    recall: refuse,
    keep: refuse,
  };
  return { outputs: { logits: logitsOf({ cache: kept, positionLimit }) }, updates };
};

/**
 * Reads so many tokens of one text behind those that are in its row. Inputs: ids and positions i32 [1, columns]; slot i32 []: of the first; last i32 [1]: the column of whose
 * token the logits [1, 1, vocabulary] are. What fills up the columns behind it is not seen by those before.
 */
export const readSpec = (model: CausalLM, cache: CacheRows, columns: number, positionLimit: number): ProgramSpec =>
  overCache(
    cache,
    (options) =>
      model.logits(input('ids', [1, columns], 'i32'), {
        ...options,
        positions: input('positions', [1, columns], 'i32'),
        at: input('last', [1], 'i32'),
      }),
    positionLimit,
  );

/**
 * Reads one token of every row, all at the same slot. Inputs: ids and positions i32 [rows, 1]; mask [rows, slots]: 1 for the slots of a row's own text, this token's with them;
 * slot i32 []. Output: logits [rows, 1, vocabulary].
 */
export const stepSpec = (model: CausalLM, cache: CacheRows, positionLimit: number): ProgramSpec =>
  overCache(
    cache,
    (options) =>
      model.logits(input('ids', [cache.rows, 1], 'i32'), {
        ...options,
        positions: input('positions', [cache.rows, 1], 'i32'),
        mask: input('mask', [cache.rows, cache.slots]),
      }),
    positionLimit,
  );

/** All slots of an attention's keys or values, under each other: [slots of all heads of all rows, headDim]. */
const flat = (from: readonly CacheRows[], of: (cache: CacheRows) => Variable): Tensor => {
  const parts = from.map((cache): Tensor => {
    const whole = of(cache);
    return reshape(whole, [-1, whole.shape[3]!]);
  });
  return parts.reduce((all, one) => concat(all, one, { axis: 0 }));
};

/** Makes all rows of a cache of pieces of rows of others. Input: places i32 [rows, heads, slots], as of `placesOf`. */
export const moveSpec = (from: readonly CacheRows[], to: CacheRows): ProgramSpec => {
  const places = input('places', [to.rows, to.heads, to.slots], 'i32');
  const updates = to.paths.flatMap((path) =>
    (['k', 'v'] as const).map((part): readonly [Variable, Tensor] => [
      to.of(path)[part],
      gather(
        flat(from, (cache) => cache.of(path)[part]),
        places,
      ),
    ]),
  );
  return { outputs: {}, updates };
};

/** Makes one row of a cache of a piece of a row of another. Inputs: places i32 [1, heads, slots], row i32 []. */
export const parkSpec = (from: CacheRows, to: CacheRows): ProgramSpec => {
  const places = input('places', [1, to.heads, to.slots], 'i32');
  const row = input('row', [], 'i32');
  const updates = to.paths.flatMap((path) =>
    (['k', 'v'] as const).map((part): readonly [Variable, Tensor] => {
      const all = to.of(path)[part];
      const own = gather(
        flat([from], (cache) => cache.of(path)[part]),
        places,
      );
      return [all, sliceUpdate(all, own, row, { axis: 0 })];
    }),
  );
  return { outputs: {}, updates };
};
