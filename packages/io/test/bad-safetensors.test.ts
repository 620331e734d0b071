import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isPeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseHeader } from '../src/safetensors/header.ts';
import { openSafetensors } from '../src/safetensors/open.ts';
import { rawFile } from './raw-safetensors.ts';
import { scratch } from './scratch.ts';

const f32 = (shape: unknown, begin: unknown, end: unknown): object => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});
const length = (n: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(n).buffer);

const cases: [string, Uint8Array, string | RegExp][] = [
  ['an empty file', new Uint8Array(0), 'it has 0 bytes'],
  ['a file of seven bytes', new Uint8Array(7), 'it has 7 bytes'],
  ['a header of no bytes', length(0n), 'not JSON'],
  [
    'a header longer than the file',
    Buffer.concat([length(100n), Buffer.from('{}')]),
    'claims a header of 100 bytes and has 10',
  ],
  ['a header longer than allowed', length(100_000_001n), 'at most 32000000'],
  ['a header of 2^64 - 1 bytes', length(2n ** 64n - 1n), 'at most 32000000'],
  ['a truncated header', rawFile('{"w":{"dtype":"F32"'), 'not JSON'],
  [
    'a header that is not UTF-8',
    Buffer.concat([length(4n), Buffer.from([0x7b, 0x22, 0xff, 0x7d])]),
    'not JSON in UTF-8',
  ],
  ['a header with a byte-order mark', rawFile('\ufeff{}'), 'not JSON'],
  ['a header that is a list', rawFile('[]'), 'starts with "{"'],
  ['a header that starts with a space', rawFile(' {}'), 'starts with "{"'],
  ['a deep header', rawFile('['.repeat(100_000)), 'not JSON'],
  [
    'a name twice',
    rawFile(`{"w":${JSON.stringify(f32([1], 0, 4))},"\\u0077":${JSON.stringify(f32([1], 0, 4))}}`, 4),
    'key "w" twice',
  ],
  [
    'a field twice',
    rawFile('{"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', 4),
    'key "shape" twice',
  ],
  ['an entry that is no object', rawFile({ w: 7 }), 'its entry is not an object'],
  [
    'an unknown dtype',
    rawFile({ w: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } }, 1),
    'is none of BOOL, U8',
  ],
  [
    'a dtype named like a method',
    rawFile({ w: { dtype: 'toString', shape: [1], data_offsets: [0, 1] } }, 1),
    'is none of',
  ],
  ['a negative dimension', rawFile({ w: f32([-1], 0, 4) }, 4), 'shape is not'],
  ['a fraction as dimension', rawFile({ w: f32([0.5], 0, 2) }, 2), 'shape is not'],
  ['a dimension above 2^53', rawFile({ w: f32([2 ** 60], 0, 4) }, 4), 'shape is not'],
  ['a shape that overflows', rawFile({ w: f32([2 ** 52, 2 ** 52, 2 ** 52], 0, 4) }, 4), 'takes'],
  ['a shape beyond every number', rawFile({ w: f32(Array(60).fill(2 ** 52), 0, 4) }, 4), 'takes Infinity bytes'],
  ['no shape', rawFile({ w: { dtype: 'F32', data_offsets: [0, 4] } }, 4), 'shape is not'],
  ['one offset', rawFile({ w: { dtype: 'F32', shape: [1], data_offsets: [4] } }, 4), 'data_offsets are not'],
  ['a text as offset', rawFile({ w: f32([1], '0', 4) }, 4), 'data_offsets are not'],
  ['offsets the wrong way round', rawFile({ w: f32([1], 4, 0) }, 4), 'after its end'],
  ['offsets beyond the file', rawFile({ w: f32([2], 0, 8) }, 4), 'ends at byte 8 of the data, which has 4'],
  ['a size that contradicts the shape', rawFile({ w: f32([2], 0, 4) }, 4), 'takes 8 bytes, the offsets give 4'],
  ['an overlap', rawFile({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), 'tensors "a" and "b" overlap'],
  ['the same bytes twice', rawFile({ a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4), 'overlap'],
  ['a hole', rawFile({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), '4 bytes before tensor "b"'],
  ['bytes before the first tensor', rawFile({ a: f32([1], 4, 8) }, 8), '4 bytes before tensor "a"'],
  ['bytes after the last tensor', rawFile({ a: f32([1], 0, 4) }, 5), 'last 1 bytes'],
  ['bytes and no tensor', rawFile({}, 5), 'last 5 bytes'],
  ['metadata that is no object', rawFile({ __metadata__: ['x'] }), '__metadata__ is not'],
  ['metadata that is no text', rawFile({ __metadata__: { a: 1 } }), '__metadata__ "a" is not a text'],
];

test.each(cases)('%s is one clear error', async (_, bytes, want) => {
  const path = join(await scratch(), 'bad.safetensors');
  await writeFile(path, bytes);
  const message = await messageOf('bad-safetensors', () => openSafetensors(path));
  expect(message).toMatch(want);
  expect(message.startsWith(`${path}: is not a sound safetensors file:`)).toBe(true);
});

test('all problems of a file come in one error', async () => {
  const path = join(await scratch(), 'bad.safetensors');
  await writeFile(
    path,
    rawFile({ a: f32([-1], 0, 4), b: { dtype: 'X', shape: [1], data_offsets: 0 }, c: f32([9], 0, 4), d: 1 }, 4),
  );
  const message = await messageOf('bad-safetensors', () => openSafetensors(path));
  for (const part of ['"a": shape', '"b": dtype', '"b": data_offsets', '"c": F32', '"d": its entry'])
    expect(message).toContain(part);
});

test('an error stays readable when everything is wrong and names are hostile', async () => {
  const path = join(await scratch(), 'bad.safetensors');
  await writeFile(
    path,
    rawFile(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`${i}\n\u001b[31m${'x'.repeat(5_000)}`, 1]))),
  );
  const message = await messageOf('bad-safetensors', () => openSafetensors(path));
  expect(message).toMatch(/and 49\d more/);
  expect(message.length).toBeLessThanOrEqual(1_000);
  expect(message).not.toContain('\u001b');
});

test('a missing file, a folder and a broken path are told apart from a bad file', async () => {
  const dir = await scratch();
  await mkdir(join(dir, 'folder.safetensors'));
  await writeFile(join(dir, 'file'), '');
  expect(await messageOf('file-missing', () => openSafetensors(join(dir, 'none')))).toContain('no such file');
  expect(await messageOf('file-missing', () => openSafetensors(join(dir, 'folder.safetensors')))).toContain(
    'not a file',
  );
  expect(await messageOf('file-missing', () => openSafetensors(join(dir, 'file', 'x')))).toContain('not a folder');
});

/** Whatever a header says, either it is refused or every tensor lies in the data and they cover it exactly. */
const holds = (bytes: Uint8Array, dataStart: number, dataBytes: number): boolean => {
  const problems: string[] = [];
  const { tensors } = parseHeader(bytes, dataStart, dataBytes, problems);
  if (problems.length > 0) return true;
  let total = 0;
  for (const { start, byteLength } of tensors.values()) {
    if (!(start >= dataStart && byteLength >= 0 && start + byteLength <= dataStart + dataBytes)) return false;
    total += byteLength;
  }
  return total === dataBytes;
};

const number = fc.oneof(fc.nat(32), fc.integer(), fc.double(), fc.constantFrom(2 ** 53, 2 ** 53 - 1, 1e308));
const mostly = <T>(right: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 8, arbitrary: right as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: fc.jsonValue() });
const entry = fc.record(
  {
    dtype: mostly(fc.constantFrom('F32', 'F16', 'BF16', 'U8', 'F64')),
    shape: mostly(fc.array(number, { maxLength: 4 })),
    data_offsets: mostly(fc.tuple(number, number)),
  },
  { requiredKeys: [] },
);

test('no header whatsoever reaches beyond the data', () => {
  const header = fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__metadata__', '__proto__')), mostly(entry), {
    maxKeys: 4,
  });
  fc.assert(
    fc.property(header, fc.nat(64), (json, dataBytes) => holds(Buffer.from(JSON.stringify(json)), 100, dataBytes)),
    { numRuns: 3_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(8), (bytes, dataBytes) => holds(bytes, 72, dataBytes)),
    { numRuns: 1_000 },
  );
});

const sound = rawFile(
  {
    __metadata__: { format: 'pt' },
    'a.weight': f32([2, 3], 0, 24),
    'b.weight': { dtype: 'F16', shape: [4], data_offsets: [24, 32] },
    empty: { dtype: 'BF16', shape: [0, 7], data_offsets: [32, 32] },
  },
  Uint8Array.from({ length: 32 }, (_, i) => i),
);

const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

test('a sound file with bytes changed, cut or added is read in full or refused with our error', async () => {
  const path = join(await scratch(), 'fuzz.safetensors');
  const change = fc.record({
    at: fc.nat(sound.length - 1),
    to: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0123456789[]{},:"-e.'))),
  });
  let refused = 0;
  let read = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 4 }),
      rarely(fc.nat(sound.length)),
      rarely(fc.uint8Array({ minLength: 1, maxLength: 4 })),
      async (changes, cut, added) => {
        const bytes = Buffer.from(sound);
        for (const { at, to } of changes) bytes[at] = to;
        await writeFile(path, Buffer.concat([bytes.subarray(0, cut), added ?? new Uint8Array(0)]));
        try {
          await using file = await openSafetensors(path);
          for (const [n, info] of file.tensors) expect((await file.read(n)).data.byteLength).toBe(info.byteLength);
          read++;
        } catch (error) {
          if (!isPeftError(error)) throw error;
          expect(error.code).toBe('bad-safetensors');
          refused++;
        }
      },
    ),
    { numRuns: 600 },
  );
  expect(Math.min(read, refused)).toBeGreaterThan(10);
});
