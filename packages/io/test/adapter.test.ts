import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pythonJson } from '../src/adapter/python-json.ts';
import { readAdapter } from '../src/adapter/read.ts';
import type { AdapterTensorData } from '../src/adapter/tensors.ts';
import { writeAdapter } from '../src/adapter/write.ts';
import type { JsonObject, JsonValue } from '../src/json.ts';
import { openSafetensors } from '../src/safetensors/open.ts';
import { filesIn, scratch } from './scratch.ts';

const config: JsonObject = {
  peft_type: 'LORA',
  task_type: 'CAUSAL_LM',
  base_model_name_or_path: 'org/model',
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.05,
  target_modules: ['v_proj', 'q_proj'],
  rank_pattern: {},
  fan_in_fan_out: false,
  revision: null,
};
const path = 'base_model.model.model.layers.0.self_attn.q_proj';
const tensors = (fill = 1): Map<string, AdapterTensorData> =>
  new Map<string, AdapterTensorData>([
    [`${path}.lora_B.weight`, { shape: [3, 2], data: new Float32Array(6).fill(-fill) }],
    [`${path}.lora_A.weight`, { shape: [2, 5], data: Float32Array.from({ length: 10 }, (_, i) => fill * 0.1 * i) }],
  ]);

test('two files are those of huggingface/peft, the third tells what belongs together', async () => {
  const dir = join(await scratch(), 'adapter');
  await writeAdapter(dir, config, tensors());
  expect(await filesIn(dir)).toEqual([
    'README.md',
    'adapter_config.json',
    'adapter_digest.json',
    'adapter_model.safetensors',
  ]);
  // What json.dumps(config, indent=2, sort_keys=True) gives.
  expect(await readFile(join(dir, 'adapter_config.json'), 'utf8')).toBe(`{
  "base_model_name_or_path": "org/model",
  "fan_in_fan_out": false,
  "lora_alpha": 8,
  "lora_dropout": 0.05,
  "peft_type": "LORA",
  "r": 4,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "v_proj",
    "q_proj"
  ],
  "task_type": "CAUSAL_LM"
}`);
  await using file = await openSafetensors(join(dir, 'adapter_model.safetensors'));
  expect([...file.tensors.keys()]).toEqual([`${path}.lora_A.weight`, `${path}.lora_B.weight`]);
  expect([...file.tensors.values()].map(({ dtype }) => dtype)).toEqual(['F32', 'F32']);
  expect(file.metadata).toEqual(new Map([['format', 'pt']]));
});

test('an adapter comes back bit by bit', async () => {
  const dir = await scratch();
  await writeAdapter(dir, config, tensors());
  const adapter = await readAdapter(dir);
  expect(adapter.config).toEqual({ method: 'LORA', taskType: 'CAUSAL_LM', baseModel: 'org/model', raw: config });
  expect(adapter.tensors.size).toBe(2);
  for (const [name, { shape, data }] of tensors())
    expect(adapter.tensors.get(name)).toEqual({ dtype: 'F32', shape, data });
});

test('16-bit tensors are rounded once', async () => {
  const dir = await scratch();
  await writeAdapter(
    dir,
    { peft_type: 'IA3' },
    new Map([
      ['a', { shape: [2], data: Float32Array.of(1 / 3, 2), dtype: 'F16' }],
      ['b', { shape: [1], data: Float32Array.of(1 / 3), dtype: 'BF16' }],
    ]),
  );
  const { config: read, tensors: got } = await readAdapter(dir);
  expect(read).toMatchObject({ method: 'IA3', taskType: null, baseModel: null });
  expect(got.get('a')).toEqual({ dtype: 'F16', shape: [2], data: Float32Array.of(1365 / 4096, 2) });
  expect(got.get('b')).toEqual({ dtype: 'BF16', shape: [1], data: Float32Array.of(171 / 512) });
});

test('a README.md is made once; one that is there stays, as do other files', async () => {
  const dir = await scratch();
  await writeAdapter(dir, { ...config, base_model_name_or_path: 'a: "b"' }, tensors());
  const card = await readFile(join(dir, 'README.md'), 'utf8');
  expect(
    card.startsWith(
      '---\nbase_model: "a: \\"b\\""\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- "lora"\n- peftjs\n---\n',
    ),
  ).toBe(true);
  await writeFile(join(dir, 'README.md'), 'mine');
  await writeFile(join(dir, 'notes.txt'), 'mine');
  await writeAdapter(dir, config, tensors(2));
  expect(await readFile(join(dir, 'README.md'), 'utf8')).toBe('mine');
  expect(await filesIn(dir)).toEqual([
    'README.md',
    'adapter_config.json',
    'adapter_digest.json',
    'adapter_model.safetensors',
    'notes.txt',
  ]);
  expect((await readAdapter(dir)).tensors.get(`${path}.lora_B.weight`)!.data[0]).toBe(-2);
});

test('a save that fails leaves the old adapter, or nothing', async () => {
  const root = await scratch();
  const broken = new Map([...tensors(5), ['late', { shape: [1], data: Float32Array.of(1e6), dtype: 'F16' as const }]]);
  await messageOf('bad-option', () => writeAdapter(join(root, 'new'), config, broken));
  await messageOf('bad-adapter', () => writeAdapter(join(root, 'new'), { r: 1 }, new Map()));
  await messageOf('bad-option', () => writeAdapter(join(root, 'new'), { ...config, r: Number.NaN }, tensors()));
  expect(await filesIn(root)).toEqual([]);
  await writeAdapter(join(root, 'old'), config, tensors());
  const files = await filesIn(join(root, 'old'));
  await messageOf('bad-option', () => writeAdapter(join(root, 'old'), config, broken));
  expect(await filesIn(join(root, 'old'))).toEqual(files);
  expect((await readAdapter(join(root, 'old'))).tensors.get(`${path}.lora_B.weight`)!.data[0]).toBe(-1);
  await writeFile(join(root, 'file'), '');
  await messageOf('write-failed', () => writeAdapter(join(root, 'file'), config, tensors()));
});

test('every fault of a folder is one clear error', async () => {
  const dir = await scratch();
  const configPath = join(dir, 'adapter_config.json');
  expect(await messageOf('file-missing', () => readAdapter(dir))).toContain('not a whole adapter');
  expect(await messageOf('file-missing', () => readAdapter(join(dir, 'none')))).toContain('adapter_config.json');
  const cases: [string, string][] = [
    ['{}', 'peft_type is missing'],
    ['{"peft_type": ""}', 'peft_type is missing'],
    ['{"peft_type": 3, "task_type": []}', 'task_type is [], not a text'],
    ['{"peft_type": null}', 'peft_type is missing'],
    ['{"peft_type": "LORA", "peft_type": "IA3"}', 'occur twice'],
    ['[]', 'holds a list'],
    ['{', 'not JSON'],
  ];
  for (const [text, want] of cases) {
    await writeFile(configPath, text);
    expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain(want);
  }
  await writeFile(configPath, '{"peft_type": "LORA"}');
  expect(await messageOf('file-missing', () => readAdapter(dir))).toContain('adapter_model.safetensors');
  await writeFile(join(dir, 'adapter_model.bin'), '');
  expect(await messageOf('bad-torch', () => readAdapter(dir))).toContain('Save its tensors as safetensors');
  await writeFile(join(dir, 'adapter_model.safetensors'), 'x');
  await messageOf('bad-safetensors', () => readAdapter(dir));
  await writeFile(join(dir, 'adapter_model.safetensors'), '\u0002\0\0\0\0\0\0\0{}');
  expect(await messageOf('bad-adapter', () => readAdapter(dir))).toContain('holds no tensor');
  await rm(configPath);
  await mkdir(configPath);
  await messageOf('file-missing', () => readAdapter(dir));
});

test.each(['plain-default', 'plain-prompt-tuning', 'square-houlsby', 'square-adapter-fusion'])(
  'the adapter %s as torch.save wrote it is the one that safetensors holds',
  async (name) => {
    const data = join(import.meta.dirname, '../../../tools/golden/data');
    const adapter = await readAdapter(join(data, 'io/adapters', name));
    const same = await readAdapter(join(data, 'python', name, 'adapter'));
    expect(adapter.tensors.size).toBeGreaterThan(0);
    expect(new Map([...adapter.tensors].sort())).toEqual(new Map([...same.tensors].sort()));
    expect(adapter.layout).toBe(same.layout);
    expect(adapter.config.method).toBe(same.config.method);
  },
);

test('floats are told from integers where it matters', () => {
  expect(pythonJson({ a: { scaling: 4, rank: 4 }, scaling: 'learned' }, ['scaling'])).toBe(
    '{\n  "a": {\n    "rank": 4,\n    "scaling": 4.0\n  },\n  "scaling": "learned"\n}',
  );
});

test('JSON is as Python writes it: sorted by code point, escaped beyond ASCII', () => {
  const value = {
    '10': 1,
    '9': [],
    a: { b: 1.5e-5, A: -0.5, c: 1e-7, d: 0.0001, e: 1e-100 },
    ü: '\u007f😀\n',
    '\uffff': null,
    '😀': true,
    ['__proto__']: [{}],
  };
  expect(pythonJson(value)).toBe(
    [
      '{',
      '  "10": 1,',
      '  "9": [],',
      '  "__proto__": [',
      '    {}',
      '  ],',
      '  "a": {',
      '    "A": -0.5,',
      '    "b": 1.5e-05,',
      '    "c": 1e-07,',
      '    "d": 0.0001,',
      '    "e": 1e-100',
      '  },',
      '  "\\u00fc": "\\u007f\\ud83d\\ude00\\n",',
      '  "\\uffff": null,',
      '  "\\ud83d\\ude00": true',
      '}',
    ].join('\n'),
  );
});

test('JSON of any value comes back, and what JSON cannot hold is refused by its place', async () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      expect(JSON.parse(pythonJson(value as JsonValue))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
  for (const wrong of [undefined, Infinity, 1n, Symbol('s'), () => 1])
    expect(await messageOf('bad-option', () => pythonJson({ a: [0, wrong] } as unknown as JsonValue))).toContain(
      'the value."a"[1]',
    );
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  expect(await messageOf('bad-option', () => pythonJson(circle as JsonObject))).toContain('nested more than 100 deep');
});
