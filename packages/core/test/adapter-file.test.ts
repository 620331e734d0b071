import { memoryFiles, readAdapter } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { loadModel, saveModel } from '@peftjs/transformer';
import { shake, tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { attach, combine, defineMethod, load, type Method, merge, push, save } from '../src/index.ts';
import { scale } from './toys.ts';

const r = reference();

/** A method with a frozen tensor of each type. */
const typed = defineMethod({
  name: 'typed',
  formula: {
    merges: false,
    options: {},
    attach: (_model, scope) => {
      scope.buffer('bytes', [3], () => Uint8Array.of(0, 7, 255), 'u8');
      scope.buffer('words', [2], () => Uint32Array.of(1, 4_294_967_295), 'u32');
      scope.buffer('halves', [2], () => Uint16Array.of(0x3c00, 0xc000), 'f16');
      scope.buffer('whole', [2], () => Int32Array.of(-5, 5), 'i32');
      return {};
    },
  },
  files: { peftType: 'TYPED' },
  card: { about: '', paper: { authors: '', year: 2026, title: '', url: '' }, learningRate: 1 },
});

test('frozen tensors of every type are saved as what they are, and load again', async () => {
  const base = tinyLlama();
  const files = memoryFiles();
  const adapted = attach(base, [typed()]);
  await save(adapted, files, { executor: r });
  const { tensors } = await readAdapter(files);
  expect([...tensors].map(([name, { dtype }]) => [name.replace('base_model.model.', ''), dtype]).sort()).toEqual([
    ['bytes', 'U8'],
    ['halves', 'F16'],
    ['whole', 'I32'],
    ['words', 'U32'],
  ]);
  const again = await load(base, files, [typed]);
  for (const [name, v] of adapted.state) expect(await r.read(again.state.get(name)!), name).toEqual(await r.read(v));
});

test('a combination prepares its methods and saves them in their final form', async () => {
  const base = tinyLlama();
  const own: Method = { ...scale({ target: 'v_proj' }), layout: 'adapter-hub' };
  const ready: Method = {
    ...own,
    prepare: async () => ({ ...scale({ target: 'o_proj' }), layout: 'adapter-hub' }),
    compact: async (_model, state) => ({
      method: own,
      state: new Map([...state].map(([name, t]) => [name.toUpperCase(), t])),
    }),
  };
  const both = combine([{ ...scale(), layout: 'adapter-hub' }, ready], { layout: 'adapter-hub' });
  const examples = { rows: 1, columns: { ids: Int32Array.of(1) }, shapes: { ids: [1, 1] } };
  const prepared = await both.prepare!(base, { data: [examples], executor: r });
  expect([...attach(base, [prepared]).params.keys()].filter((name) => name.includes('o_proj'))).toHaveLength(2);
  const state = new Map(
    [...attach(base, [both]).state].map(([name, v]) => [name, { shape: v.shape, data: Float32Array.of(1) }]),
  );
  const final = await both.compact!(base, state, { executor: r });
  expect([...final.state.keys()].sort()).toEqual(
    [...state.keys()].map((name) => (name.includes('v_proj') ? name.toUpperCase() : name)).sort(),
  );
});

test('an adapter is pushed as the files that are saved', async () => {
  const adapted = attach(tinyLlama(), [scale()]);
  const [folder, pushed] = [memoryFiles(), new Map<string, Uint8Array>()];
  await save(adapted, folder, { executor: r });
  const hub: typeof fetch = async (input, { body } = {}) => {
    if (String(input).includes('/preupload/')) {
      const { files } = JSON.parse(String(body)) as { files: { path: string }[] };
      return Response.json({ files: files.map(({ path }) => ({ path, uploadMode: 'regular' })) });
    }
    if (String(input).includes('/commit/'))
      for (const line of String(body).trim().split('\n').slice(1)) {
        const { path, content } = (JSON.parse(line) as { value: { path: string; content: string } }).value;
        pushed.set(path, Buffer.from(content, 'base64'));
      }
    return Response.json({ commitOid: 'a', commitUrl: 'b' });
  };
  await push(adapted, 'hub:me/mine', { executor: r, token: 'hf_x', endpoint: 'http://hub', fetch: hub });
  const names = (await folder.list()) as readonly string[];
  expect([...pushed.keys()].sort()).toEqual([...names].sort());
  for (const name of names) expect(Buffer.from(pushed.get(name)!)).toEqual(Buffer.from(await folder.read(name)));
});

test('an adapter says where its base was found, unless told otherwise', async () => {
  const folder = memoryFiles(new Map(), 'models/tiny');
  await saveModel(tinyLlama(), folder, { executor: r });
  const base = await loadModel(folder);
  const adapted = attach(base, [scale()]);
  await shake(adapted.params, { executor: r });
  const nameIn = async (options?: { readonly baseModel?: string | null }, of = adapted): Promise<string | null> => {
    const files = memoryFiles();
    await save(of, files, { executor: r, ...options });
    return (await readAdapter(files)).config.baseModel;
  };
  expect(await nameIn()).toBe('models/tiny');
  expect(await nameIn({ baseModel: 'hub/name' })).toBe('hub/name');
  expect(await nameIn({ baseModel: 'hub:org/name' })).toBe('org/name');
  expect(await nameIn({ baseModel: null })).toBeNull();
  // Once merged the weights are no longer those of that folder.
  const { model } = await merge(adapted, { executor: r });
  expect(await nameIn({}, attach(model, [scale()]))).toBeNull();
});
