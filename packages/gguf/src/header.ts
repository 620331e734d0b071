import { PeftError } from '@peftjs/tensor';

/** A value of a GGUF file's metadata; whole numbers of 64 bits are bigints. */
export type GgufValue = string | number | bigint | boolean | readonly GgufValue[];

/** A tensor as the header tells of it. */
export interface GgufTensorRow {
  readonly name: string;
  /** Sizes, the slowest first, as everywhere here; the file has them the other way. */
  readonly shape: readonly number[];
  /** GGML's number of the type. */
  readonly type: number;
  /** Bytes from the beginning of the data. */
  readonly offset: number;
}

/** The header of a file: all that stands before the data. */
export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensorRow[];
  /** The byte at which the data begins. */
  readonly dataStart: number;
}

/** More bytes are needed than were read so far. */
class MoreBytes extends Error {}

/** A fault of a file. */
class Unsound extends Error {}

const kinds = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const;
type Kind = (typeof kinds)[number];

/** The least bytes of a value. */
const leastBytes: { readonly [K in Kind]: number } = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};

const text = new TextDecoder('utf-8', { fatal: true });

/** Reads values one after another, of bytes that are the beginning of a file of `size`. */
class Cursor {
  at = 0;
  #bytes: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(this.#bytes.buffer);
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  /** The place of the next `count` bytes, which are passed. */
  take(count: number): number {
    const from = this.at;
    if (from + count > this.#size) throw new Unsound(`it ends after ${this.#size} bytes, in the middle of its header`);
    if (from + count > this.#bytes.length) throw new MoreBytes();
    this.at = from + count;
    return from;
  }

  more(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.take(8), true);
  }

  /** A count of things that take at least so many bytes each: no more of them than the rest of the file can hold. */
  count(what: string, least: number): number {
    const count = this.u64();
    if (count * BigInt(least) > BigInt(this.#size - this.at))
      throw new Unsound(`it claims ${count} ${what}, more than its ${this.#size} bytes can hold`);
    return Number(count);
  }

  string(what: string): string {
    const length = this.count(`bytes of ${what}`, 1);
    const from = this.take(length);
    try {
      return text.decode(this.#bytes.subarray(from, from + length));
    } catch {
      throw new Unsound(`${what} is no UTF-8`);
    }
  }

  kind(what: string): Kind {
    const number = this.u32();
    const kind = kinds[number];
    if (kind === undefined) throw new Unsound(`${what} is of type ${number}, which GGUF has not`);
    return kind;
  }

  value(kind: Kind, what: string, depth = 0): GgufValue {
    const at = (bytes: number): number => this.take(bytes);
    switch (kind) {
      case 'u8':
        return this.#view.getUint8(at(1));
      case 'i8':
        return this.#view.getInt8(at(1));
      case 'u16':
        return this.#view.getUint16(at(2), true);
      case 'i16':
        return this.#view.getInt16(at(2), true);
      case 'u32':
        return this.u32();
      case 'i32':
        return this.#view.getInt32(at(4), true);
      case 'f32':
        return this.#view.getFloat32(at(4), true);
      case 'bool':
        return this.#view.getUint8(at(1)) !== 0;
      case 'string':
        return this.string(what);
      case 'u64':
        return this.u64();
      case 'i64':
        return this.#view.getBigInt64(at(8), true);
      case 'f64':
        return this.#view.getFloat64(at(8), true);
      case 'array': {
        if (depth === 4) throw new Unsound(`${what} is a list of lists, deeper than 4`);
        const of = this.kind(what);
        const length = this.count(`entries of ${what}`, leastBytes[of]);
        const values: GgufValue[] = [];
        for (let i = 0; i < length; i++) values.push(this.value(of, what, depth + 1));
        return values;
      }
    }
  }
}

/** [name, value] */
const readEntry = (cursor: Cursor): readonly [string, GgufValue] => {
  const name = cursor.string('a name in the metadata');
  return [name, cursor.value(cursor.kind(name), name)];
};

const readTensor = (cursor: Cursor): GgufTensorRow => {
  const name = cursor.string("a tensor's name");
  const axes = cursor.u32();
  if (axes < 1 || axes > 4) throw new Unsound(`tensor ${name} has ${axes} axes; there are 1 to 4`);
  const shape = Array.from({ length: axes }, () => Number(cursor.u64())).reverse();
  if (!shape.every((d) => Number.isSafeInteger(d) && d > 0))
    throw new Unsound(`tensor ${name} has sizes [${shape.join(', ')}]`);
  const type = cursor.u32();
  return { name, shape, type, offset: Number(cursor.u64()) };
};

/** Entries by name, of which each stands once. */
const byName = <T>(entries: readonly (readonly [string, T])[]): ReadonlyMap<string, T> => {
  const all = new Map(entries);
  if (all.size === entries.length) return all;
  const twice = entries.find(([name], i) => entries.findIndex(([other]) => other === name) < i)!;
  throw new Unsound(`${twice[0]} stands twice`);
};

const readStart = (cursor: Cursor): { readonly tensors: number; readonly entries: number } => {
  const magic = cursor.u32();
  if (magic === 0x4747_5546) throw new Unsound('it is of big-endian numbers, which are not read');
  if (magic !== 0x4655_4747) throw new Unsound('it does not begin with GGUF');
  const version = cursor.u32();
  if (version === 0x0300_0000) throw new Unsound('it is of big-endian numbers, which are not read');
  if (version !== 2 && version !== 3)
    throw new Unsound(`it is of version ${version}; read are 2 and 3. Convert it by llama.cpp of today`);
  return { tensors: cursor.count('tensors', 24), entries: cursor.count('entries of metadata', 13) };
};

/** Bytes that are read at first; then twice as many each time. */
const firstBytes = 2 ** 20;

/**
 * Reads the header of a GGUF file of so many bytes; `read` gives its first ones. Nothing is made that the file could not hold. Throws `bad-gguf`.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export const readGgufHeader = async (
  who: string,
  size: number,
  read: (bytes: number) => Promise<Uint8Array>,
): Promise<GgufHeader> => {
  const cursor = new Cursor(size);
  let held = 0;
  /** The result of a step, tried again from where it began as often as bytes are missing. */
  const step = async <T>(take: () => T): Promise<T> => {
    const from = cursor.at;
    for (;;)
      try {
        return take();
      } catch (error) {
        if (!(error instanceof MoreBytes)) throw error;
        held = Math.min(size, Math.max(firstBytes, 2 * held));
        cursor.more(await read(held));
        cursor.at = from;
      }
  };
  try {
    const start = await step(() => readStart(cursor));
    const entries: (readonly [string, GgufValue])[] = [];
    while (entries.length < start.entries) entries.push(await step(() => readEntry(cursor)));
    const rows: GgufTensorRow[] = [];
    while (rows.length < start.tensors) rows.push(await step(() => readTensor(cursor)));
    byName(rows.map((row) => [row.name, row]));
    const metadata = byName(entries);
    const alignment = Number(metadata.get('general.alignment') ?? 32);
    if (!Number.isSafeInteger(alignment) || alignment < 1)
      throw new Unsound(`general.alignment is ${alignment}; it must be a whole number of at least 1`);
    return { metadata, tensors: rows, dataStart: Math.ceil(cursor.at / alignment) * alignment };
  } catch (error) {
    if (!(error instanceof Unsound)) throw error;
    throw new PeftError(
      'bad-gguf',
      `${who}: is not a GGUF file that can be read: ${error.message}. Download it again.`,
    );
  }
};
