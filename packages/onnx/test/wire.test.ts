import { expect, it } from 'vitest';
import { Wire } from '../src/proto/wire.ts';

interface Field {
  readonly field: number;
  readonly value: bigint | Uint8Array;
}

/** A plain reader of the format, to check the writer against. */
const read = (bytes: Uint8Array): Field[] => {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const digit = bytes[at++]!;
      value |= BigInt(digit & 127) << shift;
      if (digit < 128) return value;
    }
  };
  const take = (size: number): Uint8Array => bytes.slice(at, (at += size));
  const fields: Field[] = [];
  while (at < bytes.length) {
    const key = Number(varint());
    const value = key % 8 === 0 ? varint() : take(key % 8 === 5 ? 4 : Number(varint()));
    fields.push({ field: key >> 3, value });
  }
  return fields;
};

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

it('writes what a reader of the format reads', () => {
  const large = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  const w = new Wire();
  for (const v of [0, 1, 127, 128, 300, 2 ** 31 - 1, 2 ** 31, 2 ** 45 + 3, -1, -100]) w.int(1, v);
  w.float(2, 1.5);
  w.string(3, 'plain');
  w.string(3, 'Größe ∑');
  w.message(100, () => {
    w.int(1, 7);
    w.bytes(9, large);
    w.message(2, () => {});
    w.string(4, 'x'.repeat(5000));
  });
  w.int(5, 6);
  const fields = read(w.finish());
  expect(fields.slice(0, 10).map((f) => BigInt.asIntN(64, f.value as bigint))).toEqual(
    [0, 1, 127, 128, 300, 2 ** 31 - 1, 2 ** 31, 2 ** 45 + 3, -1, -100].map(BigInt),
  );
  expect(fields.slice(10, 13)).toEqual([
    { field: 2, value: new Uint8Array(Float32Array.of(1.5).buffer) },
    { field: 3, value: text('plain') },
    { field: 3, value: text('Größe ∑') },
  ]);
  expect(fields[13]!.field).toBe(100);
  expect(read(fields[13]!.value as Uint8Array)).toEqual([
    { field: 1, value: 7n },
    { field: 9, value: large },
    { field: 2, value: new Uint8Array() },
    { field: 4, value: text('x'.repeat(5000)) },
  ]);
  expect(fields[14]).toEqual({ field: 5, value: 6n });
});

it('keeps the order when chunks end anywhere', () => {
  const w = new Wire();
  const sizes = Array.from({ length: 400 }, (_, i) => (i * 997) % 6000);
  for (const size of sizes) w.message(1, () => w.bytes(2, new Uint8Array(size).fill(size % 256)));
  const fields = read(w.finish());
  expect(fields.length).toBe(sizes.length);
  const wrong = fields.filter(({ value }, i) => {
    const payload = read(value as Uint8Array)[0]!.value as Uint8Array;
    return payload.length !== sizes[i] || payload.some((byte) => byte !== sizes[i]! % 256);
  });
  expect(wrong).toEqual([]);
});
