import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, bytesOfArray, type FileTensor, fileDTypes } from '../src/safetensors/dtype.ts';
import { openSafetensors } from '../src/safetensors/open.ts';
import { type WriteTensor, writeSafetensors } from '../src/safetensors/write.ts';
import { rawFile } from './raw-safetensors.ts';
import { sameBytes } from './same-bytes.ts';
import { filesIn, scratch } from './scratch.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('writing', () => {
  test('gives the bytes of the reference implementation', async () => {
    const path = join(await scratch(), 'x.safetensors');
    const values = Float32Array.of(0, 1, 2, 3, 4, 5);
    // The two files are those of the tests in safetensors/src/tensor.rs.
    await writeSafetensors(path, new Map([['attn.0', { dtype: 'F32', shape: [1, 2, 3], data: values }]]), {});
    const header = '{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}';
    expect(text(await readFile(path))).toBe(text(rawFile(header, bytesOfArray(values))));
    await writeSafetensors(path, new Map([['attn0', { dtype: 'F32', shape: [1, 1, 2, 3], data: values }]]), {});
    const padded = '{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ';
    expect(text(await readFile(path))).toBe(text(rawFile(padded, bytesOfArray(values))));
    await writeSafetensors(path, new Map(), { framework: 'pt' });
    expect(text(await readFile(path))).toBe(text(rawFile('{"__metadata__":{"framework":"pt"}}     ')));
  });

  test('puts wide types first and then goes by name', async () => {
    const path = join(await scratch(), 'x.safetensors');
    const names: [string, WriteTensor][] = [
      ['b', { dtype: 'F32', shape: [1], data: new Float32Array(1) }],
      ['z', { dtype: 'I64', shape: [1], data: new BigInt64Array(1) }],
      ['a', { dtype: 'F16', shape: [1], data: new Float32Array(1) }],
      ['10', { dtype: 'F32', shape: [1], data: new Float32Array(1) }],
      ['9', { dtype: 'F32', shape: [1], data: new Float32Array(1) }],
    ];
    await writeSafetensors(path, new Map(names));
    await using file = await openSafetensors(path);
    const placed = [...file.tensors].sort(([, a], [, b]) => a.start - b.start);
    expect(placed.map(([name]) => name)).toEqual(['z', '10', '9', 'b', 'a']);
    expect(file.metadata).toEqual(new Map([['format', 'pt']]));
    expect(placed[0]![1].start % 8).toBe(0);
  });

  test('rounds f32 to F16 and BF16 over several pieces', async () => {
    const path = join(await scratch(), 'x.safetensors');
    const size = 2 ** 18 + 77;
    const values = Float32Array.from({ length: size }, (_, i) => (i % 2048) - 1024);
    await writeSafetensors(
      path,
      new Map<string, WriteTensor>([
        ['half', { dtype: 'F16', shape: [size], data: () => values }],
        ['brain', { dtype: 'BF16', shape: [size], data: async () => values.map((v) => Math.trunc(v / 8) + 0) }],
      ]),
    );
    await using file = await openSafetensors(path);
    expect(sameBytes(await file.readFloat32('half'), values)).toBe(true);
    const eighths = values.map((v) => Math.trunc(v / 8) + 0);
    expect(sameBytes(await file.readFloat32('brain'), eighths)).toBe(true);
    expect((await file.read('half')).data).toBeInstanceOf(Uint16Array);
  });

  test('refuses what would not come back, all at once, and leaves no trace', async () => {
    const dir = await scratch();
    const bad = new Map<string, WriteTensor>([
      ['short', { dtype: 'F32', shape: [3], data: new Float32Array(2) }],
      ['kind', { dtype: 'I32', shape: [2], data: new Float32Array(2) }],
      ['shape', { dtype: 'F32', shape: [1.5], data: new Float32Array(2) }],
      ['\ud800', { dtype: 'F32', shape: [2], data: new Float32Array(2) }],
      ['__metadata__', { dtype: 'F32', shape: [2], data: new Float32Array(2) }],
      ['eight', { dtype: 'F8_E4M3' as 'U8', shape: [2], data: new Uint8Array(2) }],
    ]);
    const message = await messageOf('bad-option', () => writeSafetensors(join(dir, 'x'), bad));
    expect(message.match(/\n {2}- /g)).toHaveLength(6);
    const late = new Map<string, WriteTensor>([
      ['late', { dtype: 'F32', shape: [3], data: () => new Float32Array(2) }],
    ]);
    expect(await messageOf('bad-option', () => writeSafetensors(join(dir, 'x'), late))).toContain('its data has 2');
    const large = new Map<string, WriteTensor>([
      ['w', { dtype: 'F16', shape: [2], data: Float32Array.of(Infinity, 7e4) }],
    ]);
    expect(await messageOf('bad-option', () => writeSafetensors(join(dir, 'x'), large))).toContain('70000');
    expect(await filesIn(dir)).toEqual([]);
  });
});

const name = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '', '0', '10', 'a"b\\c', 'ü\u0000\n', '😀'),
  fc.string({ unit: 'grapheme', maxLength: 12 }).filter((s) => s !== '__metadata__'),
);
const tensor = fc
  .record({ dtype: fc.constantFrom(...fileDTypes), shape: fc.array(fc.nat(4), { maxLength: 4 }), seed: fc.nat(255) })
  .map(({ dtype, shape, seed }): FileTensor => {
    const data = allocate(
      dtype,
      shape.reduce((a, b) => a * b, 1),
    );
    bytesOfArray(data).forEach((_, i, bytes) => {
      bytes[i] = seed + 31 * i;
    });
    return { dtype, shape, data } as FileTensor;
  });
const contents = fc.uniqueArray(fc.tuple(name, tensor), { selector: ([n]) => n, maxLength: 6 });

describe('reading', () => {
  test('gives back every tensor and the metadata, whatever the names', async () => {
    const path = join(await scratch(), 'x.safetensors');
    await fc.assert(
      fc.asyncProperty(contents, fc.dictionary(name, fc.string({ unit: 'grapheme' })), async (tensors, metadata) => {
        await writeSafetensors(path, new Map(tensors), metadata);
        await using file = await openSafetensors(path);
        expect([...file.tensors.keys()].sort()).toEqual(tensors.map(([n]) => n).sort());
        expect(file.metadata).toEqual(new Map(Object.entries(metadata)));
        for (const [n, want] of tensors) {
          const got = await file.read(n);
          expect([got.dtype, got.shape]).toEqual([want.dtype, want.shape]);
          expect(sameBytes(got.data, want.data)).toBe(true);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('gives any number type as f32 and refuses whole numbers that f32 cannot hold', async () => {
    const path = join(await scratch(), 'x.safetensors');
    await writeSafetensors(
      path,
      new Map<string, WriteTensor>([
        ['f64', { dtype: 'F64', shape: [2], data: Float64Array.of(0.1, -2) }],
        ['i64', { dtype: 'I64', shape: [2], data: BigInt64Array.of(-5n, 1n << 40n) }],
        ['i8', { dtype: 'I8', shape: [2], data: Int8Array.of(-128, 127) }],
        ['bool', { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) }],
        ['wide', { dtype: 'I32', shape: [1], data: Int32Array.of(2 ** 24 + 1) }],
        ['wider', { dtype: 'U64', shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) }],
      ]),
    );
    await using file = await openSafetensors(path);
    expect(await file.readFloat32('f64')).toEqual(Float32Array.of(0.1, -2));
    expect(await file.readFloat32('i64')).toEqual(Float32Array.of(-5, 2 ** 40));
    expect(await file.readFloat32('i8')).toEqual(Float32Array.of(-128, 127));
    expect(await file.readFloat32('bool')).toEqual(Float32Array.of(0, 1));
    expect(await messageOf('bad-safetensors', () => file.readFloat32('wide'))).toContain('16777217');
    expect(await messageOf('bad-safetensors', () => file.readFloat32('wider'))).toContain('18446744073709551615');
  });

  test('many reads may run side by side', async () => {
    const path = join(await scratch(), 'x.safetensors');
    const names = Array.from({ length: 50 }, (_, i) => `w${i}`);
    const tensors = names.map((n, i): [string, WriteTensor] => [
      n,
      { dtype: 'F32', shape: [9], data: new Float32Array(9).fill(i) },
    ]);
    await writeSafetensors(path, new Map(tensors));
    await using file = await openSafetensors(path);
    const read = await Promise.all(names.map((n) => file.readFloat32(n)));
    expect(read.map((values) => values[8])).toEqual(names.map((_, i) => i));
  });

  test('names some tensors there are if one is not, and refuses after close', async () => {
    const path = join(await scratch(), 'x.safetensors');
    await writeSafetensors(path, new Map([['here', { dtype: 'F32', shape: [], data: Float32Array.of(7) }]]));
    const file = await openSafetensors(path);
    expect(await messageOf('bad-safetensors', () => file.read('toString'))).toContain('it has "here"');
    await file.close();
    await file.close();
    expect(await messageOf('bad-option', () => file.read('here'))).toContain('closed');
  });

  test('tells of a file that shrinks while it is open', async () => {
    const path = join(await scratch(), 'x.safetensors');
    await writeSafetensors(path, new Map([['w', { dtype: 'F32', shape: [100], data: new Float32Array(100) }]]));
    await using file = await openSafetensors(path);
    await truncate(path, 200);
    expect(await messageOf('bad-safetensors', () => file.read('w'))).toContain('ends at byte 200');
  });

  test('takes a file whose header is neither sorted nor padded', async () => {
    const path = join(await scratch(), 'x.safetensors');
    const header = {
      b: { dtype: 'U8', shape: [1], data_offsets: [1, 2] },
      a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
    };
    await writeFile(path, rawFile(header, Uint8Array.of(65, 66)));
    await using file = await openSafetensors(path);
    expect((await file.read('b')).data[0]).toBe(66);
  });
});
