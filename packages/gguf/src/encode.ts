/** A value of the metadata to write, with its kind. */
export type WrittenValue =
  | { readonly kind: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'i32s' | 'f32s'; readonly value: readonly number[] };

/** A tensor to write; its bytes are asked for when its turn comes. */
export interface WrittenTensor {
  readonly name: string;
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  /** GGML's number of the type. */
  readonly type: number;
  readonly size: number;
  bytes(): Promise<Uint8Array>;
}

const alignment = 32;
const aligned = (at: number): number => Math.ceil(at / alignment) * alignment;

const kindNumbers = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

const text = new TextEncoder();

/** Numbers as bytes, little-endian as GGUF has them. */
const u32 = (value: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return new Uint8Array(view.buffer);
};
const u64 = (value: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(value), true);
  return new Uint8Array(view.buffer);
};
const numbers = (kind: 'i32' | 'f32', values: readonly number[]): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (const [i, v] of values.entries())
    kind === 'f32' ? view.setFloat32(4 * i, v, true) : view.setInt32(4 * i, v, true);
  return new Uint8Array(view.buffer);
};

const string = (value: string): Uint8Array[] => {
  const bytes = text.encode(value);
  return [u64(bytes.length), bytes];
};

const list = (kind: number, length: number): Uint8Array[] => [u32(kindNumbers.array), u32(kind), u64(length)];

const valueOf = (value: WrittenValue): Uint8Array[] => {
  switch (value.kind) {
    case 'u32':
      return [u32(kindNumbers.u32), u32(value.value)];
    case 'i32':
    case 'f32':
      return [u32(kindNumbers[value.kind]), numbers(value.kind, [value.value])];
    case 'bool':
      return [u32(kindNumbers.bool), Uint8Array.of(value.value ? 1 : 0)];
    case 'string':
      return [u32(kindNumbers.string), ...string(value.value)];
    case 'strings':
      return [...list(kindNumbers.string, value.value.length), ...value.value.flatMap(string)];
    case 'i32s':
      return [...list(kindNumbers.i32, value.value.length), numbers('i32', value.value)];
    case 'f32s':
      return [...list(kindNumbers.f32, value.value.length), numbers('f32', value.value)];
  }
};

/** The bytes of a GGUF file of version 3, in pieces: one tensor is in memory at a time. */
export async function* encodeGguf(
  metadata: ReadonlyMap<string, WrittenValue>,
  tensors: readonly WrittenTensor[],
): AsyncGenerator<Uint8Array, void> {
  let offset = 0;
  const rows = tensors.flatMap(({ name, shape, type, size }) => {
    const row = [...string(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(type), u64(offset)];
    offset = aligned(offset + size);
    return row;
  });
  const header = [
    text.encode('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(metadata.size),
    ...[...metadata].flatMap(([name, value]) => [...string(name), ...valueOf(value)]),
    ...rows,
  ];
  let at = 0;
  for (const piece of header) {
    at += piece.length;
    yield piece;
  }
  yield new Uint8Array(aligned(at) - at);
  for (const { bytes, size } of tensors) {
    yield await bytes();
    yield new Uint8Array(aligned(size) - size);
  }
}
