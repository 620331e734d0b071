import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import {
  blobFiles,
  directoryFiles,
  type Files,
  filesAt,
  loadTokenizer,
  memoryFiles,
  openModelWeights,
  openSafetensors,
  type Place,
  readAdapter,
  readJsonObject,
  urlFiles,
  type WritableFiles,
  writeAdapter,
  writeAdapterHub,
  writeSafetensors,
} from '../src/index.ts';
import { browserFolder } from './browser-folder.ts';
import { byteLevel } from './byte-level.ts';
import { type FileServer, serveFiles } from './file-server.ts';
import { scratch } from './scratch.ts';

const llama = {
  model_type: 'llama',
  vocab_size: 300,
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 32,
};
const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const tensor = (value: number, size: number) => ({
  dtype: 'BF16' as const,
  shape: [size],
  data: new Float32Array(size).fill(value),
});

/** A folder with a model in two shards, its tokenizer, and an adapter of either layout within. */
const modelFolder = async (): Promise<ReadonlyMap<string, Uint8Array>> => {
  const files = memoryFiles();
  await writeSafetensors(
    { files, path: shards[0] },
    new Map([
      ['a', tensor(1, 200_000)],
      ['b', tensor(2, 10)],
    ]),
  );
  await writeSafetensors({ files, path: shards[1] }, new Map([['c', tensor(3, 5)]]));
  await files.write(
    new Map(
      Object.entries({
        'model.safetensors.index.json': { weight_map: { a: shards[0], b: shards[0], c: shards[1] } },
        'generation_config.json': { eos_token_id: 262 },
        'tokenizer.json': byteLevel(),
        'tokenizer_config.json': { eos_token: '<|end|>' },
        'config.json': llama,
      }).map(([path, json]) => [path, JSON.stringify(json)]),
    ),
  );
  const all = await contentOf(files);
  const adapter = memoryFiles();
  await writeAdapter(adapter, { peft_type: 'LORA' }, new Map([['w', { shape: [2], data: Float32Array.of(1, 2) }]]));
  for (const [path, bytes] of await contentOf(adapter)) all.set(`adapter/${path}`, bytes);
  const fused = memoryFiles();
  const hub = { modelType: 'llama', hiddenSize: 8, modelClass: null, name: null };
  const one = { shape: [1], data: Float32Array.of(1) };
  await writeAdapterHub(
    fused,
    {
      architecture: 'fuse',
      fusion: { query: true },
      adapters: ['one', 'two'].map((name) => ({ name, config: { architecture: 'bottleneck' } })),
    },
    hub,
    new Map([
      ['x.adapters.one.w', one],
      ['x.adapters.two.w', one],
      ['x.adapter_fusion_layer.one,two.w', one],
    ]),
  );
  for (const [path, bytes] of await contentOf(fused)) all.set(`fused/${path}`, bytes);
  return all;
};

/** All files, by path. */
const contentOf = async (files: Files, folder = ''): Promise<Map<string, Uint8Array<ArrayBuffer>>> => {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of (await files.list(folder))!) {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (!name.endsWith('/')) found.set(path, await files.read(path));
    else for (const [inner, bytes] of await contentOf(files, path.slice(0, -1))) found.set(inner, bytes);
  }
  return found;
};

type Content = ReadonlyMap<string, Uint8Array>;
const within = (content: Content, folder: string): Content =>
  new Map([...content].flatMap(([p, b]) => (p.startsWith(folder) ? [[p.slice(folder.length), b] as const] : [])));

const toDisk = async (content: Content): Promise<string> => {
  const dir = await scratch();
  for (const [path, bytes] of content) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), bytes);
  }
  return dir;
};
const written = async (files: WritableFiles, content: Content): Promise<Files> => {
  await files.write(content);
  return files;
};

const kinds: readonly (readonly [string, (content: Content) => Promise<Place>])[] = [
  ['a path on disk', toDisk],
  ['files on disk', async (content) => filesAt(await toDisk(content))],
  ['memory', async (content) => memoryFiles(content)],
  [
    'Blobs',
    async (content) => blobFiles(new Map([...content].map(([p, b]) => [p, new Blob([b as Uint8Array<ArrayBuffer>])]))),
  ],
  ['a folder of a browser', (content) => written(directoryFiles(browserFolder()), content)],
  ['a URL', async (content) => (await serveFiles(content)).url],
  ['a URL without ranges', async (content) => urlFiles((await serveFiles(content, { ranges: false })).url)],
];

describe.each(kinds)('from %s', (_, make) => {
  test('a model folder is read: config, tokenizer, shards', async () => {
    const dir = await make(await modelFolder());
    expect(await readJsonObject(await filesAt(dir), 'config.json', 'bad-config')).toEqual(llama);
    const tokenizer = await loadTokenizer(dir);
    expect([tokenizer.eosId, tokenizer.decode(tokenizer.encode('hello'))]).toEqual([262, '<|end|>hello']);
    await using weights = await openModelWeights(dir);
    expect([...weights.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    const [a, c] = await Promise.all([weights.readFloat32('a'), weights.readFloat32('c')]);
    expect([a.length, a[0], a.at(-1)]).toEqual([200_000, 1, 1]);
    expect(c).toEqual(new Float32Array(5).fill(3));
  });

  test('adapters are read, of PEFT and fused ones of adapter-hub', async () => {
    const content = await modelFolder();
    const adapter = await readAdapter(await make(within(content, 'adapter/')));
    expect([adapter.layout, adapter.tensors.get('w')?.data]).toEqual(['peft', Float32Array.of(1, 2)]);
    const fused = await readAdapter(await make(within(content, 'fused/')));
    expect([fused.layout, fused.tensors.size]).toEqual(['adapter-hub', 3]);
  });

  test('what is missing or broken says where', async () => {
    const content = new Map(await modelFolder());
    content.delete('config.json');
    content.delete('generation_config.json');
    content.set('tokenizer.json', new TextEncoder().encode('{'));
    content.set(shards[1], content.get(shards[1])!.slice(0, 20));
    const dir = await make(content);
    expect(
      await messageOf('file-missing', async () => readJsonObject(await filesAt(dir), 'config.json', 'bad-config')),
    ).toContain('/config.json: cannot be opened');
    expect(await messageOf('bad-tokenizer', () => loadTokenizer(dir))).toContain('/tokenizer.json: is not JSON');
    expect(await messageOf('bad-safetensors', () => openModelWeights(dir))).toContain(`/${shards[1]}: is not a sound`);
    content.delete('model.safetensors.index.json');
    const bare = await make(content);
    await messageOf('file-missing', () => openModelWeights(bare));
    await messageOf('file-missing', () => readAdapter(bare));
  });
});

const big = async (): Promise<Map<string, Uint8Array>> => {
  const files = memoryFiles();
  const tensors = new Map([
    ['large', tensor(1, 2_000_000)],
    ['small', tensor(2, 1_000)],
  ]);
  await writeSafetensors({ files, path: 'model.safetensors' }, tensors);
  return new Map([['model.safetensors', await files.read('model.safetensors')]]);
};
const bodies = ({ requests }: FileServer): readonly string[] => requests.filter((r) => r.startsWith('GET'));

test('one tensor of a large file at a URL costs the header and its own bytes', async () => {
  const server = await serveFiles(await big());
  await using file = await openSafetensors(`${server.url}/model.safetensors`);
  expect(await file.readFloat32('small')).toEqual(new Float32Array(1_000).fill(2));
  expect(server.sent).toBeLessThan(3_000);
  expect(bodies(server)).toHaveLength(3);
});

test('without ranges the file is fetched once for all tensors', async () => {
  const content = await big();
  const server = await serveFiles(content, { ranges: false });
  const files = urlFiles(server.url);
  for (let i = 0; i < 3; i++) {
    await using file = await openSafetensors({ files, path: 'model.safetensors' });
    expect((await file.readFloat32('small'))[999]).toBe(2);
  }
  expect(bodies(server)).toHaveLength(1);
  expect(server.sent).toBe(content.get('model.safetensors')!.length);
});
