import { PeftError, type TypedArray } from '@peftjs/tensor';
import type { Row } from '../stream.ts';

const kinds = { Int32Array, Float32Array, Uint8Array, Uint16Array, Uint32Array } as const;

type Kind = keyof typeof kinds;

/** A column of a block: the kind of its arrays, and how long that of each row is. */
interface BlockColumn {
  readonly name: string;
  readonly kind: Kind;
  readonly lengths: readonly number[];
}

/** Bytes up to a multiple of four, where arrays of four bytes may begin. */
const aligned = (bytes: number): number => Math.ceil(bytes / 4) * 4;

const kindOfColumn = (name: string, column: TypedArray): Kind => {
  const kind = column[Symbol.toStringTag];
  if (Object.hasOwn(kinds, kind)) return kind as Kind;
  throw new PeftError('bad-data', `${name} is a ${kind}, which a cache does not hold`);
};

/** Whether two rows have the same columns of the same kinds, as all rows of a block have. */
export const isAlike = (a: Row, b: Row): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([name, column]) => b[name]?.[Symbol.toStringTag] === column[Symbol.toStringTag]);

/** Rows as bytes: the length of a head in JSON, the head, then the values of each column, one row after the other. Throws `bad-data`. */
export const encodeBlock = (rows: readonly Row[]): Uint8Array<ArrayBuffer> => {
  const columns = Object.entries(rows[0] ?? {}).map(
    ([name, first]): BlockColumn => ({
      name,
      kind: kindOfColumn(name, first),
      lengths: rows.map((row) => row[name]!.length),
    }),
  );
  const head = new TextEncoder().encode(JSON.stringify(columns));
  const sizes = columns.map(({ name, kind, lengths }) => {
    const values = lengths.reduce((a, b) => a + b, 0);
    return { name, kind, values, bytes: aligned(values * kinds[kind].BYTES_PER_ELEMENT) };
  });
  const start = aligned(4 + head.length);
  const bytes = new Uint8Array(start + sizes.reduce((sum, { bytes: own }) => sum + own, 0));
  new DataView(bytes.buffer).setUint32(0, head.length, true);
  bytes.set(head, 4);
  let at = start;
  for (const { name, kind, values, bytes: size } of sizes) {
    const all = new kinds[kind](bytes.buffer, at, values);
    let place = 0;
    for (const row of rows) {
      all.set(row[name]!, place);
      place += row[name]!.length;
    }
    at += size;
  }
  return bytes;
};

/** The rows of a block. */
export const decodeBlock = (bytes: Uint8Array<ArrayBuffer>): readonly Row[] => {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const columns = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size))) as readonly BlockColumn[];
  let at = aligned(4 + size);
  const rows: Record<string, TypedArray>[] = (columns[0]?.lengths ?? []).map(() => ({}));
  for (const { name, kind, lengths } of columns) {
    let place = bytes.byteOffset + at;
    const { BYTES_PER_ELEMENT: width } = kinds[kind];
    for (const [i, length] of lengths.entries()) {
      // Each row has a copy of its own, so that one that is kept does not keep the block.
      rows[i]![name] = new kinds[kind](bytes.buffer, place, length).slice();
      place += length * width;
    }
    at = aligned(place - bytes.byteOffset);
  }
  return rows;
};
