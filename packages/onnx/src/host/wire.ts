import type { Duplex } from 'node:stream';
import { Deserializer, Serializer } from 'node:v8';
import type { HostArray } from '../cpu/storage.ts';

/** Bytes that one write hands over at most. */
const largestWrite = 2 ** 30;

const kinds = [Float32Array, Int32Array, Uint32Array, Uint8Array, Uint16Array] as const;

/** Bytes of an array, not copied. */
const bytesOf = ({ buffer, byteOffset, byteLength }: HostArray): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Serialises a value; its arrays are set aside, each standing as its kind and its place among them. */
const serialize = (value: unknown): { readonly head: Buffer; readonly arrays: readonly HostArray[] } => {
  const arrays: HostArray[] = [];
  class Aside extends Serializer {
    _writeHostObject(array: object): void {
      this.writeUint32(kinds.findIndex((kind) => array instanceof kind));
      this.writeUint32(arrays.push(array as HostArray) - 1);
    }
  }
  const serializer = new Aside();
  (
    serializer as unknown as { _setTreatArrayBufferViewsAsHostObjects(on: boolean): void }
  )._setTreatArrayBufferViewsAsHostObjects(true);
  serializer.writeHeader();
  serializer.writeValue(value);
  return { head: serializer.releaseBuffer(), arrays };
};

const deserialize = (head: Buffer, arrays: readonly ArrayBuffer[]): unknown => {
  class Back extends Deserializer {
    _readHostObject(): HostArray {
      const kind = kinds[this.readUint32()]!;
      return new kind(arrays[this.readUint32()]!);
    }
  }
  const deserializer = new Back(head);
  deserializer.readHeader();
  return deserializer.readValue();
};

/**
 * Values over a stream: plain data with typed arrays in it (f32, i32, u32, u8, f16 as bits), whose bytes are written from where they lie and read into
 * where they stay. A message is three parts: the sizes of head and arrays, the head, the arrays.
 */
export interface Wire {
  send(value: unknown): void;
}

/** Speaks over a stream; `receive` gets every whole message, in order. */
export const wire = (stream: Duplex, receive: (value: unknown) => void): Wire => {
  let [target, filled] = [Buffer.alloc(0), 0];
  let whole: () => void = () => {};
  /** Reads so many bytes, then goes on. */
  const read = (size: number, then: (bytes: Buffer<ArrayBuffer>) => void): void => {
    const bytes = Buffer.from(new ArrayBuffer(size));
    [target, filled, whole] = [bytes, 0, () => then(bytes)];
    if (size === 0) whole();
  };
  const begin = (): void => read(8, (counts) => readSizes(counts.readUInt32LE(0), counts.readUInt32LE(4)));
  const readSizes = (headSize: number, count: number): void =>
    read(8 * count, (bytes) => {
      const sizes = Array.from({ length: count }, (_, i) => bytes.readDoubleLE(8 * i));
      read(headSize, (head) => readArrays(head, sizes, []));
    });
  const readArrays = (head: Buffer, sizes: readonly number[], arrays: readonly ArrayBuffer[]): void => {
    if (arrays.length < sizes.length)
      read(sizes[arrays.length]!, ({ buffer }) => readArrays(head, sizes, [...arrays, buffer]));
    else {
      begin();
      receive(deserialize(head, arrays));
    }
  };
  begin();
  stream.on('data', (chunk: Buffer) => {
    for (let from = 0; from < chunk.length; ) {
      const size = Math.min(chunk.length - from, target.length - filled);
      target.set(chunk.subarray(from, from + size), filled);
      [from, filled] = [from + size, filled + size];
      if (filled === target.length) whole();
    }
  });
  return {
    send: (value) => {
      const { head, arrays } = serialize(value);
      const sizes = Buffer.alloc(8 + 8 * arrays.length);
      sizes.writeUInt32LE(head.length, 0);
      sizes.writeUInt32LE(arrays.length, 4);
      arrays.forEach((array, i) => void sizes.writeDoubleLE(array.byteLength, 8 + 8 * i));
      stream.cork();
      for (const part of [sizes, head, ...arrays.map(bytesOf)])
        for (let from = 0; from < part.length; from += largestWrite)
          stream.write(part.subarray(from, from + largestWrite));
      stream.uncork();
    },
  };
};
