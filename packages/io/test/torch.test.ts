import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { memoryFiles } from '../src/files/memory-files.ts';
import { openSafetensors } from '../src/safetensors/open.ts';
import { openTorch } from '../src/torch/open.ts';
import { unpickle } from '../src/torch/pickle.ts';
import { processorTime } from './processor-time.ts';
import { scratch } from './scratch.ts';

const data = join(import.meta.dirname, '../../../tools/golden/data/io/torch');

test.each([
  ['views', 'strides, offsets and shared storages'],
  ['types', 'all element types'],
  ['state-dict', 'the state of a module'],
  ['protocol-4', 'a newer pickle'],
  ['legacy', 'torch before 1.6'],
  ['attribute', 'a parameter with attributes'],
])('%s.bin (%s) holds what torch says it holds', async (name) => {
  await using file = await openTorch(join(data, `${name}.bin`));
  await using plain = await openSafetensors(join(data, `${name}.safetensors`));
  expect([...file.tensors.keys()].sort()).toEqual([...plain.tensors.keys()].sort());
  for (const tensor of plain.tensors.keys()) {
    expect([tensor, await file.read(tensor)]).toEqual([tensor, await plain.read(tensor)]);
    if (!tensor.includes('64')) expect(await file.readFloat32(tensor)).toEqual(await plain.readFloat32(tensor));
  }
});

test('an archive with the fields for more than 4 GiB is the same', async () => {
  await using small = await openTorch(join(data, 'views.bin'));
  await using large = await openTorch(join(data, 'zip64.bin'));
  expect([...large.tensors.keys()]).toEqual([...small.tensors.keys()]);
  for (const name of small.tensors.keys()) expect(await large.read(name)).toEqual(await small.read(name));
});

test.each([
  ['code', /calls "(posix|nt)\.system", which is not read: only tensors are, and no code is run/],
  ['number', '"epoch" in it is not a tensor'],
  ['nested', '"model" in it is not a tensor'],
  ['list', 'holds no dict of tensors'],
  ['sparse', /calls "torch\.serialization\._get_layout"/],
  ['complex', 'torch.ComplexFloatStorage'],
  ['module', /calls "torch\.nn\.modules|instruction 0x81/],
  ['quantized', /_rebuild_qtensor|QInt8Storage/],
  ['pickle', 'neither a zip archive nor a file of torch before 1.6'],
  ['compressed', 'is compressed or encrypted'],
])('refused-%s.bin is refused by name', async (name, why) => {
  const message = await messageOf('bad-torch', () => openTorch(join(data, `refused-${name}.bin`)));
  expect(message).toMatch(why);
  expect(message).toContain('Save its tensors as safetensors');
  expect(message.length).toBeLessThan(500);
});

test('a missing file is told from a bad one, and what is closed is not read', async () => {
  await messageOf('file-missing', () => openTorch(join(data, 'none.bin')));
  const dir = await scratch();
  for (const [text, why] of [
    ['', 'neither'],
    ['x', 'neither'],
    ['PK\u0003\u0004', 'no zip archive'],
  ] as const) {
    await writeFile(join(dir, 'x.bin'), text);
    expect(await messageOf('bad-torch', () => openTorch(join(dir, 'x.bin')))).toContain(why);
  }
  const file = await openTorch(join(data, 'views.bin'));
  expect(await messageOf('bad-safetensors', () => file.read('none'))).toContain('"whole"');
  await file.close();
  await messageOf('bad-option', () => file.read('whole'));
});

/** A pickle of these bytes, or of texts, in the frame of a state dict with one tensor of these numbers. */
const pickled = (...parts: readonly (string | number | readonly number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from([part].flat()))));

const read = (bytes: Uint8Array): unknown =>
  unpickle(
    bytes,
    0,
    () => undefined,
    () => null,
  ).value;

test('pickles that are not sound are refused in time, whatever they claim', () => {
  const start = processorTime();
  const bad: [Uint8Array, string][] = [
    [pickled(), 'ends too early'],
    [pickled(0x2e), 'stack is empty'],
    [pickled(0x58, [255, 255, 255, 255], 'x'), 'ends too early'],
    [pickled(0x8d, [255, 255, 255, 255, 255, 255, 255, 255]), 'ends too early'],
    [pickled(0x8b, [255, 255, 255, 127]), 'ends too early'],
    [pickled(0x58, [1, 0, 0, 0], 0xff), 'not UTF-8'],
    [pickled(0x80, 9), 'protocol is not known'],
    [pickled(0x68, 7), 'what is not there'],
    [pickled(0x71, 7), 'stack is empty'],
    [pickled(0x74), 'a mark is missing'],
    [pickled(0x4e, 0x4e, 0x61, 0x2e), 'no list'],
    [pickled(0x4e, 0x4e, 0x4e, 0x73, 0x2e), 'no dict'],
    [pickled('}(N', 0x75), 'no dict'],
    [pickled('cos\nsystem\nN', 0x85, 0x52), 'calls "os.system"'],
    [pickled('N)', 0x52), 'calls what has no name'],
    [pickled('N}', 0x62), 'sets the state of an object'],
    [pickled('(cos\nsystem\n', 0x6f), '0x6f'],
    [pickled(0x82, 1), '0x82'],
    [pickled('I1\n'), '0x49'],
    [pickled('c'), 'ends too early'],
    [pickled('NN', 0x93), 'a name is not a text'],
  ];
  for (const [bytes, why] of bad) expect(() => read(bytes)).toThrow(why);
  // A list of itself, ten times ten thousand times: the pickle has it once.
  expect(read(pickled(']q\0(h\0h\0e.'))).toMatchObject({ kind: 'list' });
  expect(() => read(pickled('('.repeat(1_000_000)))).toThrow('ends too early');
  expect(processorTime() - start).toBeLessThan(2000);
});

test('tensors that claim more than the file holds are refused before anything is made', async () => {
  const sound = await readFile(join(data, 'views.bin'));
  const files = memoryFiles();
  const changed = async (from: readonly number[], to: readonly number[]): Promise<string> => {
    const at = sound.indexOf(Buffer.from(from));
    expect(at).toBeGreaterThan(0);
    const bytes = Buffer.from(sound);
    bytes.set(to, at);
    await files.write(new Map([['x.bin', bytes]]));
    return messageOf('bad-torch', () => openTorch({ files, path: 'x.bin' }));
  };
  // K\x00K\x04K\x06\x86: offset 0, shape (4, 6).
  const shape = [0x4b, 0, 0x4b, 4, 0x4b, 6, 0x86];
  expect(await changed(shape, [0x4b, 0, 0x4b, 255, 0x4b, 255, 0x86])).toContain('reaches beyond its storage');
  expect(await changed(shape, [0x4b, 1, 0x4b, 4, 0x4b, 6, 0x86])).toContain('reaches beyond its storage');
  expect(await changed(shape, [0x4e, 0x30, 0x4e, 0x4e, 0x4b, 6, 0x86])).toContain('not made of a storage');
  // (12 rows): the storage of 24 floats claims another number.
  expect(await changed([0x4b, 24, 0x74], [0x4b, 25, 0x74])).toContain('should have 100 bytes, it has 96');
});
