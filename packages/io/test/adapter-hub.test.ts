import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { readAdapter } from '../src/adapter/read.ts';
import type { AdapterTensorData } from '../src/adapter/tensors.ts';
import { writeAdapter, writeAdapterHub } from '../src/adapter/write.ts';
import { writeSafetensors } from '../src/safetensors/write.ts';
import { filesIn, scratch } from './scratch.ts';

const model = { modelType: 'llama', hiddenSize: 8, modelClass: 'LlamaForCausalLM', name: 'org/model' };
const config = { reduction_factor: 2, leave_out: [] };
const layer = 'model.layers.0.output_adapters';
const up = (name: string): string => `${layer}.adapters.${name}.adapter_up.weight`;
const tensor = (value: number): AdapterTensorData => ({ shape: [2], data: Float32Array.of(value, 1) });
const fused = {
  architecture: 'fuse',
  adapters: ['b', 'a'].map((name) => ({ name, config })),
  fusion: { key: true },
};
const value = `${layer}.adapter_fusion_layer.b,a.value.weight`;
const fusedTensors = new Map([
  [up('a'), tensor(1)],
  [up('b'), tensor(2)],
  [value, tensor(3)],
]);

/** A folder with one tensor, under any name. */
const folder = async (json: unknown, names: readonly string[], file = 'adapter.safetensors'): Promise<string> => {
  const dir = await scratch();
  await writeFile(join(dir, 'adapter_config.json'), JSON.stringify(json));
  await writeSafetensors(
    join(dir, file),
    new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i), dtype: 'F32' as const }])),
  );
  return dir;
};

test('the two files are those of adapter-hub/adapters, and come back', async () => {
  const dir = join(await scratch(), 'adapter');
  await writeAdapterHub(dir, config, model, new Map([[up('default'), tensor(5)]]));
  expect(await filesIn(dir)).toEqual([
    'README.md',
    'adapter.safetensors',
    'adapter_config.json',
    'adapter_digest.json',
  ]);
  expect(JSON.parse(await readFile(join(dir, 'adapter_config.json'), 'utf8'))).toEqual({
    config,
    hidden_size: 8,
    model_class: 'LlamaForCausalLM',
    model_name: 'org/model',
    model_type: 'llama',
    name: 'default',
    version: 'adapters.1.3.0',
  });
  const { layout, config: read, tensors } = await readAdapter(dir);
  expect(layout).toBe('adapter-hub');
  expect(read).toMatchObject({ method: 'bottleneck', baseModel: 'org/model', raw: config });
  expect([...tensors]).toEqual([[up('default'), { dtype: 'F32', ...tensor(5) }]]);
});

test('an adapter of any name is called default', async () => {
  const { tensors } = await readAdapter(await folder({ config, name: 'my task+' }, [up('my task+')]));
  expect([...tensors.keys()]).toEqual([up('default')]);
});

test('what a file repeats is taken once, if it is the same', async () => {
  const pool = (path: string): string => `${path}.prefix_tunings.x.self_prefix.wte.weight`;
  const first = pool('model.prefix_tuning');
  const again = pool('model.layers.0.self_attn.prefix_tuning.pool');
  const dir = await scratch();
  await writeFile(join(dir, 'adapter_config.json'), JSON.stringify({ config, name: 'x' }));
  const write = (a: number, b: number): Promise<void> =>
    writeSafetensors(
      join(dir, 'adapter.safetensors'),
      new Map(
        Object.entries({ [again]: a, [first]: b }).map(([name, v]) => [
          name,
          { shape: [1], data: Float32Array.of(v), dtype: 'F32' as const },
        ]),
      ),
    );
  await write(1, 1);
  expect([...(await readAdapter(dir)).tensors.keys()]).toEqual([first.replace('.x.', '.default.')]);
  await write(1, 2);
  expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain('should be the same as');
});

test('fused adapters have a folder each, one for the fusion, and a mark', async () => {
  const dir = join(await scratch(), 'setup');
  await writeAdapterHub(dir, fused, model, fusedTensors);
  expect(await filesIn(dir)).toEqual([
    'README.md',
    'a',
    'a/adapter.safetensors',
    'a/adapter_config.json',
    'adapter_digest.json',
    'adapter_setup.json',
    'b',
    'b,a',
    'b,a/adapter_fusion_config.json',
    'b,a/model_adapter_fusion.safetensors',
    'b/adapter.safetensors',
    'b/adapter_config.json',
  ]);
  const { layout, config: read, tensors } = await readAdapter(dir);
  expect(layout).toBe('adapter-hub');
  expect(read.raw).toEqual(fused);
  expect(new Map([...tensors].map(([name, t]) => [name, t.data[0]]))).toEqual(
    new Map([
      [up('b'), 2],
      [up('a'), 1],
      [value, 3],
    ]),
  );
  expect([...(await readAdapter(join(dir, 'a'))).tensors.keys()]).toEqual([up('default')]);
});

test('a save that is refused leaves nothing', async () => {
  const root = await scratch();
  const dir = join(root, 'new');
  const save = (c: typeof config | typeof fused, t: ReadonlyMap<string, AdapterTensorData>): Promise<string> =>
    messageOf('bad-adapter', () => writeAdapterHub(dir, c, model, t));
  expect(await save(config, new Map())).toContain('no tensors');
  expect(await save(config, new Map([['model.x', tensor(1)]]))).toContain('model.x is not a tensor of the adapter');
  expect(await save(fused, new Map([...fusedTensors, ['odd', tensor(1)]]))).toContain('odd belongs to none');
  expect(await save(fused, new Map([[value, tensor(1)]]))).toContain('no tensors of b');
  const evil = { ...fused, adapters: [{ name: '../a', config }] };
  expect(await save(evil, fusedTensors)).toContain('"../a" cannot name an adapter');
  await messageOf('bad-option', () =>
    writeAdapterHub(dir, fused, model, new Map([...fusedTensors, [value, { ...tensor(1), shape: [3] }]])),
  );
  expect(await filesIn(root)).toEqual([]);
});

test('a folder holds one adapter', async () => {
  const dir = await scratch();
  await writeAdapterHub(dir, fused, model, fusedTensors);
  expect(await messageOf('bad-adapter', () => writeAdapter(dir, { peft_type: 'X' }, fusedTensors))).toContain(
    'another adapter: adapter_setup.json',
  );
  await writeFile(join(dir, 'adapter_config.json'), '{}');
  expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain('remove the one');
  expect(await messageOf('bad-adapter', () => writeAdapterHub(dir, fused, model, fusedTensors))).toContain('another');
});

test('every fault of a folder is one clear error', async () => {
  const cases: [unknown, readonly string[], string][] = [
    [{ config: 3, name: 'a' }, [up('a')], 'config is not an object'],
    [{ config, name: '..' }, [up('a')], 'name is "..", not the name of an adapter'],
    [{ config }, [up('a')], 'not the name of an adapter'],
    [{ config: { architecture: 4 }, name: 'a' }, [up('a')], 'architecture is 4, not a text'],
    [{ config, name: 'a', model_name: [] }, [up('a')], 'model_name is []'],
    [{ config, name: 'a' }, [up('b'), 'x'], `${up('b')} is not a tensor of the adapter a`],
  ];
  for (const [json, names, want] of cases) {
    const dir = await folder(json, names);
    expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain(want);
  }
  const pickled = await folder({ config, name: 'a' }, [up('a')], 'other.safetensors');
  await messageOf('file-missing', () => readAdapter(pickled));
  await writeFile(join(pickled, 'pytorch_adapter.bin'), '');
  expect(await messageOf('bad-torch', () => readAdapter(pickled))).toContain('neither a zip archive');
});

test('every fault of a setup is one clear error', async () => {
  const dir = await scratch();
  const setup = (value: unknown): Promise<void> =>
    writeFile(join(dir, 'adapter_setup.json'), JSON.stringify({ adapter_setup: value }));
  const single = (name: unknown): unknown => ({ type: 'single', children: [name] });
  for (const value of [
    null,
    single('a'),
    { type: 'Stack', children: [] },
    { type: 'Stack', children: [single('a'), single('a')] },
    { type: 'Stack', children: [{ type: '../x', children: [single('a')] }] },
    { type: 'Fuse', children: [] },
    { type: 'Fuse', children: [single('a'), single('a')] },
    { type: 'Fuse', children: [single('../a')] },
    { type: 'Fuse', children: [{ type: 'Stack', children: ['a'] }] },
  ]) {
    await setup(value);
    expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain('Fuse of single adapters');
  }
  await setup({ type: 'Fuse', children: [single('a')] });
  await messageOf('file-missing', () => readAdapter(dir));
});
