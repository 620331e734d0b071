import { mkdtemp, readdir, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Files,
  memoryFiles,
  openSafetensors,
  type WritableFiles,
  type WriteTensor,
  writeSafetensors,
} from '@peftjs/io';
import { constant, reference, variable } from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LlamaConfig } from '../src/index.ts';
import {
  buildModel,
  type CausalLM,
  denseLinear,
  imageClassifier,
  loadModel,
  parameters,
  parseConfig,
  randomWeights,
  saveModel,
  viaDense,
} from '../src/index.ts';
import { tokens, valuesOf } from './run.ts';
import { subjects } from './subjects.ts';
import { tinyConfig, tinyGpt2Config, tinyWeights } from './tiny.ts';

let root = '';
let made = 0;
const folder = (): string => join(root, String(made++));
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'peftjs-model-'));
});
afterAll(() => rm(root, { recursive: true }));

const ids = tokens([3, 1, 4, 1, 5]);
const saved = async (model: CausalLM, options = {}): Promise<string> => {
  const dir = folder();
  await saveModel(model, dir, { executor: reference(), ...options });
  return dir;
};

const normOf = (model: CausalLM): string => `${model.paths('norm').at(-1)!}.weight`;

const roundTrips: readonly (readonly [string, CausalLM])[] = [
  ...subjects.flatMap(([name, make]) => [
    [`a plain ${name}`, make().model] as const,
    [`a tied ${name} with special tokens`, make({ tieWordEmbeddings: true, eosIds: [2, 3], padId: 0 }).model] as const,
  ]),
  ...Object.entries({
    'without biases': {},
    'with scaled rope': {
      ropeScaling: {
        kind: 'llama3',
        factor: 8,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalMaxPositions: 32,
      },
    },
  } satisfies Record<string, Partial<LlamaConfig>>).map(
    ([name, changes]) => [`a llama ${name}`, buildModel(tinyConfig(changes), tinyWeights())] as const,
  ),
  ...(['gelu', 'relu', 'silu'] as const).map(
    (activation) => [`a gpt2 with ${activation}`, buildModel(tinyGpt2Config({ activation }), tinyWeights())] as const,
  ),
];

describe('saveModel and loadModel', () => {
  test.each(roundTrips)('a model comes back to the bit: %s', async (_, model) => {
    const dir = await saved(model);
    const loaded = await loadModel(dir);
    expect(loaded.config).toEqual({ ...model.config, architectures: [model.layout.modelClass] });
    const executor = reference();
    for (const [name, v] of parameters(model))
      expect(await executor.read(parameters(loaded).get(name)!), name).toEqual(await executor.read(v));
    expect(await valuesOf(loaded.logits(ids))).toEqual(await valuesOf(model.logits(ids)));
    expect((await readdir(dir)).sort()).toEqual(['config.json', 'model.safetensors']);
  });
});

/** Files that note how many bytes are read of each. */
const noted = (files: Files): { readonly files: Files; readonly read: Map<string, number> } => {
  const read = new Map<string, number>();
  const open: Files['open'] = async (path) => {
    const file = await files.open(path);
    const note = (bytes: number): void => void read.set(path, (read.get(path) ?? 0) + bytes);
    return { ...file, read: (at, into) => (note(into.length), file.read(at, into)) };
  };
  return { files: { ...files, open }, read };
};

describe('files in memory', () => {
  test('hold a model as a folder does, and each tensor is read once, after the header', async () => {
    const model = buildModel(tinyConfig(), tinyWeights());
    const files = memoryFiles();
    await saveModel(model, files, { executor: reference(), dtype: 'f16' });
    const dir = await saved(model, { dtype: 'f16' });
    for (const name of ['config.json', 'model.safetensors'])
      expect(Buffer.from(await files.read(name)).equals(await readFile(join(dir, name)))).toBe(true);
    const { files: watched, read } = noted(files);
    const loaded = await loadModel(watched);
    const header = read.get('model.safetensors')!;
    expect(await valuesOf(loaded.logits(ids))).toEqual(await valuesOf((await loadModel(dir)).logits(ids)));
    const bytes = [...parameters(loaded).values()].reduce(
      (n, { shape }) => n + 2 * shape.reduce((a, b) => a * b, 1),
      0,
    );
    expect(read.get('model.safetensors')! - header).toBe(bytes);
    expect((await files.size('model.safetensors'))! - bytes).toBe(header);
  });

  test.runIf(process.platform === 'linux')('of a model on disk are not held open by it', async () => {
    const dir = await saved(buildModel(tinyConfig(), tinyWeights()));
    const held = async (): Promise<string[]> => {
      const links = await Promise.all(
        (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
      );
      return links.filter((path) => path.startsWith(dir));
    };
    const model = await loadModel(dir);
    expect(await held()).toEqual([]);
    await valuesOf(model.logits(ids));
    expect(await held()).toEqual([]);
    const late = await loadModel(dir);
    await truncate(join(dir, 'model.safetensors'), 1000);
    await expect(valuesOf(late.logits(ids))).rejects.toThrow(
      /model.safetensors.* bytes when it was opened, it has 1000 now/,
    );
  });
});

describe('what belongs to a model beside its weights', () => {
  const executor = reference();
  const given = new Map([
    ['tokenizer.json', '{"version":"1.0"}'],
    ['chat_template.jinja', '{{ messages }}'],
    ['generation_config.json', '{"eos_token_id":3}'],
    ['notes.txt', 'mine'],
  ]);
  const source = async (): Promise<WritableFiles> => {
    const files = memoryFiles(new Map(), 'source');
    await saveModel(buildModel(tinyConfig(), tinyWeights()), files, { executor });
    await files.write(given);
    return files;
  };

  test('comes along from the folder that it was loaded from, through views too, over what was there of it', async () => {
    const model = await loadModel(await source());
    const target = memoryFiles(new Map([['tokenizer.json', 'of another model']]), 'target');
    await saveModel(model.with({}), target, { executor });
    expect(await target.list()).toEqual([
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    for (const name of ['tokenizer.json', 'chat_template.jinja', 'generation_config.json'])
      expect(new TextDecoder().decode(await target.read(name))).toBe(given.get(name));
  });

  test('stays as it is where the model is saved in its own place, or was built', async () => {
    const files = await source();
    const model = await loadModel(files);
    await saveModel(model, files, { executor });
    expect(new TextDecoder().decode(await files.read('tokenizer.json'))).toBe(given.get('tokenizer.json'));
    const built = memoryFiles(new Map(), 'built');
    await saveModel(buildModel(tinyConfig(), tinyWeights()), built, { executor });
    expect(await built.list()).toEqual(['config.json', 'model.safetensors']);
  });
});

describe.each(subjects)('saveModel of %s', (name, make) => {
  test('values that an executor changed are those that are saved', async () => {
    const { model } = make();
    const executor = reference();
    const norm = parameters(model).get(normOf(model))!;
    await executor.write(norm, new Float32Array(8).fill(0.25));
    const dir = folder();
    await saveModel(model, dir, { executor });
    expect(await reference().read(parameters(await loadModel(dir)).get(normOf(model))!)).toEqual(
      new Float32Array(8).fill(0.25),
    );
  });

  test.each([
    ['f16', 2 ** -11],
    ['bf16', 2 ** -8],
  ] as const)('%s halves the file and rounds to nearest', async (dtype, unit) => {
    const { model } = make();
    const dir = await saved(model, { dtype });
    const loaded = parameters(await loadModel(dir));
    for (const [name, v] of parameters(model)) {
      const [a, b] = [await reference().read(v), await reference().read(loaded.get(name)!)];
      for (const [i, value] of a.entries()) expect(Math.abs(value - b[i]!)).toBeLessThanOrEqual(Math.abs(value) * unit);
    }
    expect(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'))).toMatchObject({
      model_type: name,
      torch_dtype: { f16: 'float16', bf16: 'bfloat16' }[dtype],
    });
    if (dtype === 'bf16') return;
    // Kept as f16 its bits are taken as they are, turned where the file holds them turned.
    const [kept, wide] = [await loadModel(dir, { dtype }), await loadModel(dir)];
    expect(await valuesOf(kept.logits(ids))).toEqual(await valuesOf(wide.logits(ids)));
  });

  test('an adapted layer is written as its effective values; a tied head that was changed on its own is untied', async () => {
    const { model: base } = make({ tieWordEmbeddings: true });
    const twice = (path: string): ReturnType<typeof viaDense> =>
      viaDense(base.linears.get(path)!, (d) => ({
        ...d,
        weight: constant(new Float32Array(13 * 8).fill(0.5), [13, 8]),
      }));
    const view = base.with({ linears: new Map([['lm_head', twice('lm_head')]]) });
    const loaded = await loadModel(await saved(view));
    expect(loaded.config.tieWordEmbeddings).toBe(false);
    expect(await valuesOf(loaded.logits(ids))).toEqual(await valuesOf(view.logits(ids)));
  });

  test('a write that fails leaves what was there', async () => {
    const { model } = make();
    const dir = await saved(model);
    const before = await readFile(join(dir, 'model.safetensors'));
    const executor = reference();
    await executor.write(parameters(model).get(normOf(model))!, new Float32Array(8).fill(1e6));
    await expect(saveModel(model, dir, { executor, dtype: 'f16' })).rejects.toThrow(
      new RegExp(`${normOf(model)}.*too large for F16`),
    );
    expect((await readdir(dir)).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(await readFile(join(dir, 'model.safetensors'))).toEqual(before);
    const fresh = folder();
    await expect(saveModel(model, join(fresh, 'inner'), { executor, dtype: 'f16' })).rejects.toThrow(/too large/);
    expect(await readdir(root)).not.toContain(fresh.slice(root.length + 1));
    await writeFile(fresh, 'a file');
    await expect(saveModel(model, fresh, { executor })).rejects.toThrow(/cannot be written/);
  });

  test('what weights cannot say is not written', async () => {
    const { model: base } = make();
    const wrapped = base.with({ around: { mlp: new Map([[base.paths('mlp')[0]!, [(x, next) => next(x)]]]) } });
    await expect(saved(wrapped)).rejects.toThrow(/wrapped around mlp/);
    const head = base.linears.get('lm_head')!.dense();
    const biased = base.with({
      linears: new Map([['lm_head', denseLinear({ ...head, bias: variable('b', [13], new Float32Array(13)) })]]),
    });
    await expect(saved(biased)).rejects.toThrow(new RegExp(`layout of ${name} has no lm_head\\.bias`));
    expect(await readdir(root)).not.toContain(String(made - 1));
  });
});

test('two who save into one folder at once leave a whole model, and whoever reads meanwhile has one', async () => {
  const dir = folder();
  const configs = [tinyConfig({ maxPositions: 64 }), tinyConfig({ maxPositions: 65 })];
  const models = configs.map((config) => buildModel(config, randomWeights(config, config.maxPositions)));
  const wanted = await Promise.all(models.map((m) => valuesOf(m.logits(ids))));
  await saveModel(models[0]!, dir, { executor: reference() });
  let isDone = false;
  const saving = Promise.all(
    models.map(async (m) => {
      for (let i = 0; i < 4; i++) await saveModel(m, dir, { executor: reference() });
    }),
  ).then(() => (isDone = true));
  const check = async (): Promise<void> => {
    const loaded = await loadModel(dir);
    const expected = wanted[loaded.config.maxPositions - 64];
    // A folder that is written anew is not the one that was opened: that is said, never mixed.
    const found = await valuesOf(loaded.logits(ids)).catch((error: Error) => error);
    if (found instanceof Error) expect(found).toMatchObject({ code: 'read-failed' });
    else expect(found).toEqual(expected);
  };
  while (!isDone) await check();
  await saving;
  await check();
  expect((await readdir(dir)).sort()).toEqual(['config.json', 'model.safetensors']);
});

describe('loadModel refuses', () => {
  const broken = async (change: (tensors: Map<string, WriteTensor>) => void): Promise<string> => {
    const dir = await saved(buildModel(tinyConfig({ tieWordEmbeddings: true }), tinyWeights()));
    const path = join(dir, 'model.safetensors');
    const reader = await openSafetensors(path);
    const tensors = new Map<string, WriteTensor>();
    for (const [name, { shape }] of reader.tensors)
      tensors.set(name, { dtype: 'F32', shape, data: await reader.readFloat32(name) });
    await reader.close();
    change(tensors);
    await writeSafetensors(path, tensors);
    return dir;
  };
  const zeros = (...shape: readonly number[]): WriteTensor => ({
    dtype: 'F32',
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });

  test('tensors that are missing, left over and of another shape, all in one error', async () => {
    const dir = await broken((tensors) => {
      tensors.delete('model.layers.1.mlp.up_proj.weight');
      tensors.set('model.norm.weight', zeros(7));
      tensors.set('model.layers.2.mlp.up_proj.weight', zeros(2, 2));
    });
    await expect(loadModel(dir)).rejects.toThrow(
      /does not fit its config\.json: model\.layers\.1\.mlp\.up_proj\.weight \[10,8\] is missing; model\.norm\.weight is \[7\], the config makes it \[8\]; model\.layers\.2\.mlp\.up_proj\.weight belongs to nothing/,
    );
  });

  test('names that all begin with something else, in one line', async () => {
    for (const [prefix, why] of [
      [
        '_orig_mod.',
        'as those of a model that torch.compile had wrapped: save `model._orig_mod`, or rename them without it',
      ],
      ['module.', 'as those of a model that DataParallel had wrapped'],
      ['toString.x.', 'begin with "toString.x.". Rename them without it'],
    ] as const) {
      const dir = await broken((tensors) => {
        const all = [...tensors];
        tensors.clear();
        for (const [name, t] of all) tensors.set(prefix + name, t);
      });
      const error: Error = (await loadModel(dir).catch((e: Error) => e)) as Error;
      expect(error).toMatchObject({ code: 'state-mismatch' });
      expect(error.message).toContain(`all 20 tensors begin with "${prefix}"`);
      expect(error.message).toContain(why);
      expect(error.message.length).toBeLessThan(300);
    }
  });

  test('far more blocks than the checkpoint could have, before any is made', async () => {
    const dir = await broken(() => {});
    const path = join(dir, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8'));
    for (const count of [1e7, 4e9, 1e15]) {
      await writeFile(path, JSON.stringify({ ...config, num_hidden_layers: count }));
      const start = process.cpuUsage().user;
      await expect(loadModel(dir)).rejects.toThrow(
        `makes ${count} blocks (layers), the checkpoint has 20 tensors in all`,
      );
      expect(process.cpuUsage().user - start).toBeLessThan(300_000);
    }
  });

  test('but not a head of its own where the config calls it tied: the file counts, as in transformers', async () => {
    const model = buildModel(tinyConfig(), tinyWeights());
    const dir = await saved(model);
    const path = join(dir, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify({ ...config, tie_word_embeddings: true }));
    const loaded = await loadModel(dir);
    expect(await valuesOf(loaded.logits(ids))).toEqual(await valuesOf(model.logits(ids)));
    expect(loaded.config.tieWordEmbeddings).toBe(false);
    // Where it is the table once more, they stay one.
    const copied = await broken((tensors) => {
      tensors.set('lm_head.weight', tensors.get('model.embed_tokens.weight')!);
    });
    expect((await loadModel(copied)).config.tieWordEmbeddings).toBe(true);
  });

  test('nor the names of a model without its head', async () => {
    const whole = await saved(buildModel(tinyConfig({ tieWordEmbeddings: true }), tinyWeights()));
    const dir = await broken((tensors) => {
      const all = [...tensors];
      tensors.clear();
      for (const [name, t] of all) tensors.set(name.replace(/^model\./, ''), t);
    });
    const [one, other] = [await loadModel(dir), await loadModel(whole)];
    expect(await valuesOf(one.logits(ids))).toEqual(await valuesOf(other.logits(ids)));
  });

  test('nor what old checkpoints carry and nothing reads', async () => {
    const dir = await broken((tensors) => {
      tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', zeros(3));
    });
    expect((await loadModel(dir)).linears.size).toBe(15);
  });

  test('a folder without a model, and an architecture that there is not', async () => {
    await expect(loadModel(folder())).rejects.toThrow(/config\.json/);
    const dir = await saved(buildModel(tinyConfig(), tinyWeights()));
    await writeFile(join(dir, 'config.json'), JSON.stringify({ model_type: 'mamba' }));
    await expect(loadModel(dir)).rejects.toThrow(/mamba/);
  });
});

describe('randomWeights', () => {
  test('starts as GPT-2 does, and every tensor depends on seed and name alone', async () => {
    const config = tinyConfig({ vocabSize: 40, hiddenSize: 32, intermediateSize: 64, attentionBias: true });
    const model = buildModel(config, randomWeights(config, 5));
    const other = buildModel({ ...config, layers: 1 }, randomWeights({ ...config, layers: 2 }, 5));
    const executor = reference();
    const std = async (name: string): Promise<number> => {
      const values = Array.from(await executor.read(parameters(model).get(name)!));
      return Math.sqrt(values.reduce((s, v) => s + v * v, 0) / values.length);
    };
    expect(Math.abs((await std('model.layers.0.mlp.up_proj.weight')) / 0.02 - 1)).toBeLessThan(0.1);
    expect(Math.abs((await std('model.layers.0.mlp.down_proj.weight')) / 0.01 - 1)).toBeLessThan(0.1);
    expect(Math.abs((await std('model.layers.1.self_attn.o_proj.weight')) / 0.01 - 1)).toBeLessThan(0.15);
    expect(await std('model.layers.0.self_attn.o_proj.bias')).toBe(0);
    expect(await std('model.norm.weight')).toBe(1);
    const name = 'model.layers.0.mlp.up_proj.weight';
    expect(await executor.read(parameters(other).get(name)!)).toEqual(
      await executor.read(parameters(model).get(name)!),
    );
    const reseeded = parameters(buildModel(config, randomWeights(config, 6))).get(name)!;
    expect(await executor.read(reseeded)).not.toEqual(await executor.read(parameters(model).get(name)!));
  });

  test('an architecture that there is not is refused', () => {
    const config = { ...tinyConfig(), modelType: 'mamba' } as never;
    expect(() => buildModel(config, tinyWeights())).toThrow(
      /architecture mamba cannot be built; there are llama, qwen2/,
    );
  });
});

describe('a head of other classes', () => {
  const config = { modelType: 'vit', image_size: 4, patch_size: 2, hidden_size: 8, num_attention_heads: 2 };
  const ofClasses = async (labels: number): Promise<string> => {
    const task = imageClassifier({ labels });
    const { modelType: model_type, ...rest } = config;
    const parsed = await parseConfig({ model_type, ...rest, num_hidden_layers: 1, intermediate_size: 8 });
    const dir = folder();
    await saveModel(buildModel(parsed, tinyWeights(1), task), dir, { executor: reference() });
    return dir;
  };
  const pixels = constant(
    Float32Array.from({ length: 48 }, (_, i) => Math.sin(i)),
    [1, 3, 4, 4],
  );

  test('is refused with the way out, and made anew where that is asked for', async () => {
    const dir = await ofClasses(7);
    const task = imageClassifier({ labels: 3 });
    await expect(loadModel(dir, { task })).rejects.toThrow(
      /classifier\.weight is \[7,8\], the config makes it \[3,8\].* The task has other labels than the folder: give those, or newHead: true/,
    );
    const fresh = await loadModel(dir, { task, newHead: true });
    const other = await loadModel(dir, { task, newHead: true, seed: 1 });
    const whole = await loadModel(dir, { task: imageClassifier({ labels: 7 }) });
    const states = (model: typeof fresh) => valuesOf(model.states({ pixels }).main);
    expect(await states(fresh)).toEqual(await states(whole));
    const logits = await valuesOf(fresh.outputs({ pixels }));
    expect(logits).toHaveLength(3);
    expect(await valuesOf(other.outputs({ pixels }))).not.toEqual(logits);
  });

  test('is made anew for as many classes too, and never for a head that nothing trains', async () => {
    const dir = await ofClasses(3);
    const task = imageClassifier({ labels: 3 });
    const [kept, fresh] = [await loadModel(dir, { task }), await loadModel(dir, { task, newHead: true })];
    expect(await valuesOf(fresh.outputs({ pixels }))).not.toEqual(await valuesOf(kept.outputs({ pixels })));
    const decoder = await saved(buildModel(tinyConfig(), tinyWeights(1)));
    await expect(loadModel(decoder, { newHead: true })).rejects.toMatchObject({ code: 'bad-option' });
  });
});
