import { checkOptions, mustBe, PeftError, type Rules, type Shape, type TypedArray } from '@peftjs/tensor';
import { checkCursor, cursorOf, inputIn } from './cursor.ts';
import { end, item, opened, originOf } from './opened.ts';
import { stackColumn } from './stack-column.ts';
import type { Origin, Row, Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** Rows that go through a model together: columns of all of them, one row after the other. */
export interface Batch {
  readonly rows: number;
  readonly columns: Row;
  /** By column: `[rows, …]`. */
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** How rows become batches. */
export interface BatchOptions {
  /** Rows per batch; the last one may have fewer. */
  readonly size: number;
  /** The values that fill up rows shorter than the longest, by column. Default: 0 for `ids`, `tokenTypes`, `documents` and masks, −100 for `labels`; of other columns all must be as long. */
  readonly pad?: Readonly<Record<string, number>>;
  /** Lengths are filled up to a multiple of this, so that there are few of them: each is a program of its own. Default 1. */
  readonly multipleOf?: number;
  /**
   * Whether `mask` tells which of `ids` are tokens and which fill a row up, f32, 1 and 0; and `decoderMask` that of `decoderIds`. Default: in
   * batches that are filled up. A model that looks at later tokens needs it; one that doesn't may do without, and is faster.
   */
  readonly mask?: boolean;
  /** Shapes, in a row, of columns that are no lists: `[]` for one number, `[3, 224, 224]` for an image. */
  readonly shapes?: Readonly<Record<string, Shape>>;
}

const isRecord = (value: unknown, accepts: (one: unknown) => boolean): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(accepts);

/** The rules of options of how rows are put together. */
export const stackRules: Rules<StackOptions> = {
  pad: mustBe.such('finite numbers by the names of columns', (v) => isRecord(v, Number.isFinite)),
  multipleOf: mustBe.count,
  mask: mustBe.flag,
  shapes: mustBe.such('shapes by the names of columns', (v) => isRecord(v, Array.isArray)),
};

const rules: Rules<BatchOptions> = { size: mustBe.given(mustBe.count), ...stackRules };

const defaultPad: Readonly<Record<string, number>> = {
  ids: 0,
  tokenTypes: 0,
  decoderIds: 0,
  documents: 0,
  labels: -100,
  mask: 0,
  decoderMask: 0,
};

/** Columns of tokens, and the column that says where they end. */
const masks: Readonly<Record<string, string>> = { ids: 'mask', decoderIds: 'decoderMask' };

/** 1 for tokens, 0 for what fills rows up. */
const maskOf = (rows: readonly TypedArray[], length: number): Float32Array => {
  const mask = new Float32Array(rows.length * length);
  for (const [i, { length: own }] of rows.entries()) mask.fill(1, i * length, i * length + own);
  return mask;
};

const columnKinds = ['Int32Array', 'Float32Array', 'Uint8Array', 'Uint16Array', 'Uint32Array'];

/** Whether it is an array of numbers that a tensor holds; by its tag, as it may be of another realm. */
const isColumn = (value: unknown): boolean =>
  ArrayBuffer.isView(value) && columnKinds.includes((value as TypedArray)[Symbol.toStringTag]);

const namesOf = async (row: unknown, origin: Origin): Promise<readonly string[]> => {
  const names = typeof row === 'object' && row !== null ? Object.keys(row) : [];
  const wrong = names.find((name) => !isColumn((row as Row)[name]));
  if (names.length > 0 && wrong === undefined) return names.sort();
  const what = wrong === undefined ? kindOf(row) : `${wrong} is ${kindOf((row as Row)[wrong])}`;
  throw new PeftError(
    'bad-data',
    `${await origin()}: ${wrong === undefined ? 'is ' : ''}${what}; batch takes rows of named columns, each one of ${columnKinds.join(', ')}. \`columns\` makes them.`,
  );
};

/** How rows are put together, whatever their number. */
export type StackOptions = Omit<BatchOptions, 'size'>;

/** Puts rows together as a batch; `origins` say where each comes from. Throws `bad-data`. */
export const stacker = (
  options: StackOptions,
): ((rows: readonly Row[], origins: readonly Origin[]) => Promise<Batch>) => {
  const { pad = {}, multipleOf = 1, shapes = {}, mask } = options;
  const filling = { ...defaultPad, ...pad };
  return async (rows: readonly Row[], origins: readonly Origin[]): Promise<Batch> => {
    const names = await namesOf(rows[0], origins[0]!);
    for (const [i, row] of rows.entries()) {
      const own = await namesOf(row, origins[i]!);
      if (own.join() !== names.join())
        throw new PeftError(
          'bad-data',
          `${await origins[i]!()}: has columns ${own.join(', ')}, the rows before it ${names.join(', ')}`,
        );
    }
    const stacked = await Promise.all(
      names.map(async (name) => {
        const column = rows.map((row) => row[name]!);
        const result = stackColumn(name, column, { shape: shapes[name], pad: filling[name], multipleOf });
        if ('problem' in result) throw new PeftError('bad-data', `${await origins[result.row]!()}: ${result.problem}`);
        return [name, result] as const;
      }),
    );
    const added = stacked.flatMap(([name, { shape }]) => {
      const own = rows.map((row) => row[name]!);
      const isAsked = masks[name] !== undefined && !names.includes(masks[name]);
      const isFilled = own.some((column) => column.length < shape[1]!);
      return isAsked && (mask ?? isFilled) ? [[masks[name]!, { data: maskOf(own, shape[1]!), shape }] as const] : [];
    });
    const all = [...stacked, ...added];
    return {
      rows: rows.length,
      columns: Object.fromEntries(all.map(([name, { data }]) => [name, data])),
      shapes: Object.fromEntries(all.map(([name, { shape }]) => [name, shape])),
    };
  };
};

/**
 * Rows `size` at a time, each column one array. Throws `bad-data`, with the place of the row, for columns that are empty, of another type or
 * missing, and where rows differ in length without a `pad` for it.
 */
export const batch = (options: BatchOptions): Stage<Row, Batch> => {
  checkOptions('batch', rules, options);
  const { size } = options;
  const stack = stacker(options);
  return (input) => ({
    open: (at, epoch) => {
      const before = at && inputIn('batch', checkCursor('batch', {}, at));
      const from = input.open(before ?? undefined, epoch);
      let count = 0;
      let origins: Origin[] = [];
      return opened({
        next: async () => {
          const rows: Row[] = [];
          const places: Origin[] = [];
          while (rows.length < size) {
            const next = await from.next();
            if (next.done) break;
            rows.push(next.value);
            places.push(originOf(from, count++));
          }
          if (rows.length === 0) return end;
          origins = places;
          return item(await stack(rows, places));
        },
        cursor: () => cursorOf('batch', {}, { input: from.cursor() }),
        begin: async () => from.begin?.(),
        origin: () => {
          const places = origins;
          return async (row = 0) => places[row]?.() ?? `row ${row}`;
        },
        close: async () => from.return?.(),
      });
    },
  });
};
