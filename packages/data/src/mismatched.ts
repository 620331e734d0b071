import { checkOptions, mustBe, PeftError, type TypedArray } from '@peftjs/tensor';
import type { Batch } from './batch.ts';
import { ignored } from './ignored.ts';
import { map } from './map.ts';
import type { Stage } from './stream.ts';

/** How long rows become. */
export interface MismatchedOptions {
  /** Lengths are filled up to a multiple of this, as by `batch`. Default 1. */
  readonly multipleOf?: number;
}

/** Tokens of a row, from the first to its last label, and where its completion begins. */
interface Parts {
  readonly tokens: readonly number[];
  readonly judged: readonly boolean[];
  readonly begins: number;
}

const partsOf = (ids: TypedArray, labels: TypedArray): Parts => {
  const last = labels.findLastIndex((label) => label !== ignored);
  const first = labels.findIndex((label) => label !== ignored);
  return {
    tokens: [...ids.subarray(0, last + 1), labels[last]!],
    judged: [false, ...Array.from(labels.subarray(0, last + 1), (label) => label !== ignored)],
    begins: first + 1,
  };
};

/**
 * Each row of a batch followed by one of the same prompt with the completion of the row before it (of the first row, of the last): `kto` estimates by them how far the
 * model has gone from its base. Other columns are the row's own. Throws `bad-data` for a batch of one row, and for rows without a label.
 */
export const mismatched = (options: MismatchedOptions = {}): Stage<Batch, Batch> => {
  checkOptions('mismatched', { multipleOf: mustBe.count }, options);
  const { multipleOf = 1 } = options;
  return map((batch: Batch): Batch => {
    const { rows, columns, shapes } = batch;
    const { ids, labels } = columns;
    if (!ids || !labels || rows < 2)
      throw new PeftError(
        'bad-data',
        `mismatched: got ${rows} rows of ${Object.keys(columns).join(', ')}; it takes batches of ids and labels, of at least two rows`,
      );
    const width = shapes['ids']![1]!;
    const parts = Array.from({ length: rows }, (_, row) => {
      const of = (column: TypedArray): TypedArray => column.subarray(row * width, (row + 1) * width);
      if (of(labels).every((label) => label === ignored))
        throw new PeftError('bad-data', `mismatched: row ${row} has no label, so no completion; leave it out`);
      return partsOf(of(ids), of(labels));
    });
    const all = parts.flatMap((own, row) => {
      const other = parts.at(row - 1)!;
      const join = <T>(of: (part: Parts) => readonly T[]): readonly T[] => [
        ...of(own).slice(0, own.begins),
        ...of(other).slice(other.begins),
      ];
      return [own, { tokens: join((p) => p.tokens), judged: join((p) => p.judged) }];
    });
    const longest = Math.max(...all.map(({ tokens }) => tokens.length - 1));
    const tokens = Math.ceil(longest / multipleOf) * multipleOf;
    const size = 2 * rows * tokens;
    const made = {
      ids: new Int32Array(size),
      labels: new Int32Array(size).fill(ignored),
      mask: new Float32Array(size),
    };
    for (const [row, { tokens: own, judged }] of all.entries()) {
      const at = row * tokens;
      made.ids.set(own.slice(0, -1), at);
      made.mask.fill(1, at, at + own.length - 1);
      for (let t = 1; t < own.length; t++) if (judged[t]) made.labels[at + t - 1] = own[t]!;
    }
    const others = Object.entries(columns).filter(([name]) => !Object.hasOwn(made, name));
    const twice = others.map(([name, data]) => {
      const each = data.length / rows;
      const copy = data.slice(0, 0).constructor as new (length: number) => TypedArray;
      const double = new copy(2 * data.length);
      for (let row = 0; row < 2 * rows; row++)
        double.set(data.subarray((row >> 1) * each, ((row >> 1) + 1) * each), row * each);
      return [name, double, [2 * rows, ...shapes[name]!.slice(1)]] as const;
    });
    const filled = Object.keys(made).map((name) => [name, [2 * rows, tokens]] as const);
    return {
      rows: 2 * rows,
      columns: { ...made, ...Object.fromEntries(twice.map(([name, data]) => [name, data])) },
      shapes: Object.fromEntries([...filled, ...twice.map(([name, , shape]) => [name, shape] as const)]),
    };
  });
};
