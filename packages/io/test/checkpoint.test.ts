import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { openModelWeights } from '../src/checkpoint.ts';
import { type WriteTensor, writeSafetensors } from '../src/safetensors/write.ts';
import { openTorch } from '../src/torch/open.ts';
import { scratch } from './scratch.ts';

const one = (value: number): WriteTensor => ({ dtype: 'BF16', shape: [2], data: Float32Array.of(value, -value) });
const shardNames = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const index = 'model.safetensors.index.json';

const writeIndex = (dir: string, weightMap: unknown): Promise<void> =>
  writeFile(join(dir, index), JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap }));

const sharded = async (weightMap?: unknown): Promise<string> => {
  const dir = await scratch();
  await writeSafetensors(
    join(dir, shardNames[0]),
    new Map([
      ['a', one(1)],
      ['__proto__', one(2)],
    ]),
  );
  await writeSafetensors(join(dir, shardNames[1]), new Map([['b', one(3)]]));
  const own = `{"a":"${shardNames[0]}","__proto__":"${shardNames[0]}","b":"${shardNames[1]}"}`;
  await writeIndex(dir, weightMap ?? JSON.parse(own));
  return dir;
};

test('one file is preferred, as Hugging Face does', async () => {
  const dir = await sharded();
  await writeSafetensors(join(dir, 'model.safetensors'), new Map([['single', one(9)]]));
  await using file = await openModelWeights(dir);
  expect([...file.tensors.keys()]).toEqual(['single']);
});

test('shards read as one', async () => {
  await using file = await openModelWeights(await sharded());
  expect([...file.tensors.keys()].sort()).toEqual(['__proto__', 'a', 'b']);
  expect(file.metadata.get('format')).toBe('pt');
  expect(await file.readFloat32('__proto__')).toEqual(Float32Array.of(2, -2));
  expect(await file.readFloat32('b')).toEqual(Float32Array.of(3, -3));
  expect((await file.read('a')).dtype).toBe('BF16');
  expect(await messageOf('bad-safetensors', () => file.read('c'))).toContain('has no tensor "c"');
});

test('a folder without weights says what it holds', async () => {
  const dir = await scratch();
  expect(await messageOf('file-missing', () => openModelWeights(dir))).toContain('it holds nothing');
  expect(await messageOf('file-missing', () => openModelWeights(join(dir, 'none')))).toContain(
    'no such file or folder',
  );
  await writeFile(join(dir, 'pytorch_model.bin'), '');
  expect(await messageOf('bad-torch', () => openModelWeights(dir))).toContain('neither a zip archive');
  await rm(join(dir, 'pytorch_model.bin'));
  await mkdir(join(dir, 'model.safetensors'));
  await messageOf('file-missing', () => openModelWeights(dir));
});

test('what torch.save wrote is read where there is no safetensors file, also in shards', async () => {
  const dir = await scratch();
  const data = join(import.meta.dirname, '../../../tools/golden/data/io/torch');
  await copyFile(join(data, 'views.bin'), join(dir, 'pytorch_model-00001-of-00002.bin'));
  await copyFile(join(data, 'state-dict.bin'), join(dir, 'pytorch_model-00002-of-00002.bin'));
  const names = async (file: string): Promise<string[]> => {
    await using reader = await openTorch(join(dir, file));
    return [...reader.tensors.keys()];
  };
  const files = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'];
  const entries = await Promise.all(files.map(async (f) => (await names(f)).map((name) => [name, f] as const)));
  const weightMap = Object.fromEntries(entries.flat());
  await writeFile(join(dir, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: weightMap }));
  {
    await using file = await openModelWeights(dir);
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(weightMap).sort());
    expect(await file.readFloat32('scalar')).toEqual(Float32Array.of(15));
  }
  await copyFile(join(data, 'types.bin'), join(dir, 'pytorch_model.bin'));
  await using file = await openModelWeights(dir);
  expect(await file.readFloat32('int8')).toEqual(Float32Array.of(0, 1, 2, 100));
  const wrong = JSON.stringify({ weight_map: { a: 'x.safetensors' } });
  await writeFile(join(dir, 'pytorch_model.bin.index.json'), wrong);
  await rm(join(dir, 'pytorch_model.bin'));
  expect(await messageOf('bad-torch', () => openModelWeights(dir))).toContain('plain name of a .bin file');
});

test('shards that are missing, cut off or at odds with the index come in one error', async () => {
  const dir = await sharded({ a: shardNames[0], ghost: shardNames[0], b: 'gone.safetensors', c: shardNames[1] });
  await writeFile(join(dir, shardNames[1]), 'short');
  const message = await messageOf('bad-safetensors', () => openModelWeights(dir));
  expect(message).toContain('gone.safetensors: cannot be opened');
  expect(message).toContain(`${shardNames[1]}: is not a sound safetensors file`);
  expect(message).toContain(`${shardNames[0]} has no tensor "ghost"`);
  expect(message).toContain('has tensor "__proto__", of which the index knows nothing');
});

test('a tensor in two shards is refused', async () => {
  const dir = await sharded();
  await writeSafetensors(
    join(dir, shardNames[1]),
    new Map([
      ['b', one(3)],
      ['a', one(4)],
    ]),
  );
  expect(await messageOf('bad-safetensors', () => openModelWeights(dir))).toContain(
    '"a" is in model-00002-of-00002.safetensors and in another',
  );
});

test.each([
  '../secret.safetensors',
  '/etc/x.safetensors',
  'a/b.safetensors',
  'a\\b.safetensors',
  'C:x.safetensors',
  '..',
  '.x.safetensors',
  '',
  'x.bin',
  'x.safetensors\u0000',
  7,
  null,
  ['x.safetensors'],
])('the shard name %j is refused', async (name) => {
  expect(await messageOf('bad-safetensors', async () => openModelWeights(await sharded({ a: name })))).toContain(
    'not the plain name',
  );
});

test('an index that is no index is one error', async () => {
  const dir = await scratch();
  const cases: [string, string][] = [
    ['{"weight_map": {}}', 'names no tensor'],
    ['{"weight_map": []}', 'not an object'],
    ['{}', 'not an object'],
    ['[]', 'holds a list'],
    ['null', 'holds null'],
    ['{"weight_map":', 'not JSON'],
    ['{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', 'occur twice'],
  ];
  for (const [text, want] of cases) {
    await writeFile(join(dir, index), text);
    expect(await messageOf('bad-safetensors', () => openModelWeights(dir))).toContain(want);
  }
  await rm(join(dir, index));
  await messageOf('file-missing', () => openModelWeights(dir));
});
