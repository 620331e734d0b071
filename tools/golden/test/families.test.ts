import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ladderSide, pfeiffer } from '@peftjs/adapters';
import { grad } from '@peftjs/autograd';
import { type Adapted, attach, load, save } from '@peftjs/core';
import { isObject, openModelWeights } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { apt } from '@peftjs/prompts';
import { argmax, constant, type Executor, evaluate, reference, type Tensor, transpose } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import {
  generate,
  loadModel,
  meanOf,
  type Problem,
  parameters,
  saveModel,
  sequenceClassifier,
  type TaskModel,
} from '@peftjs/transformer';
import { webgpu } from '@peftjs/webgpu';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  familyAdapter,
  familyAdapters,
  familyGoldens,
  familyModel,
  familyWritten,
  groupOf,
  inputsOf,
  onWebgpu,
  openAdapter,
  openModel,
  ownFamilyAdapters,
  parameterThere,
  recordedIn,
  recordedInputs,
  recordedOf,
  storedLogits,
  trainOnBatch,
} from '../src/families.ts';
import { readRecord } from '../src/record.ts';
import { requireSameFiles } from '../src/require-same-files.ts';
import { executors } from './executors.ts';

/** The library's name of one of our tensors, where it is another. */
const nameThere = (name: string): string => name.replace(/(predictions|lm_head)\.decoder\.bias$/, '$1.bias');

/** The same of a parameter, whose module transformers 5 calls otherwise than the file's tensor. */
const parameterName = (name: string): string =>
  nameThere(name)
    .replace(/^embed_out\./, 'lm_head.')
    .replace(
      /^((?:vit|deit|dinov2|beit|swin)\..*\.)(cls_token|distillation_token|position_embeddings|lambda_[12])\.weight$/,
      '$1$2',
    )
    .replace(/\.relative_position_bias_table\.weight$/, '.relative_position_bias_table')
    .replace(/\.layer_scale(\d)\.weight$/, '.layer_scale$1.lambda1')
    .replace(/(class_embedding|^logit_scale|^logit_bias|\.probe|\.sinks)\.weight$/, '$1')
    .replace(/\.([qv]_bias)\.weight$/, '.$1')
    .replace(/(head\.attention)\.in_proj\.(weight|bias)$/, '$1.in_proj_$2');

/** Gradients by name, where the library has a norm for each head, ten at most, and we one table: those of a list's norms, one after the other. */
const withTables = (gradients: ReadonlyMap<string, Float32Array>): ReadonlyMap<string, Float32Array> => {
  const tables = new Map<string, number[]>();
  for (const name of [...gradients.keys()].sort()) {
    const table = name.replace(/\.norms\.\d\.weight$/, '.weight');
    tables.set(table, [...(tables.get(table) ?? []), ...gradients.get(name)!]);
  }
  return new Map([...tables].map(([name, values]) => [name, Float32Array.from(values)]));
};

const largestOf = (values: Float32Array): number => distance(values, new Float32Array(values.length));

/**
 * Those whose gradient is rounding alone: what shifts all that a softmax compares, as the bias of keys that no position rotates, and that of a layer
 * whose outputs are compared.
 */
const withoutGradient = (wanted: ReadonlyMap<string, Float32Array>): ReadonlySet<string> => {
  const largest = [...wanted].map(([name, values]) => [name, largestOf(values)] as const);
  const most = Math.max(...largest.map(([, value]) => value));
  return new Set(largest.flatMap(([name, value]) => (value < 1e-6 * most ? [name] : [])));
};

const mustHaveGradients = async (
  loss: Tensor,
  wanted: ReadonlyMap<string, Float32Array>,
  tensors: ReadonlyMap<string, Tensor>,
  model: TaskModel,
  executor: Executor,
): Promise<void> => {
  const names = [...wanted.keys()];
  expect([...tensors.keys()].sort()).toEqual([...names].sort());
  const gradients = grad(
    loss,
    names.map((name) => tensors.get(name)!),
  );
  const outputs = names.map((name, i) => {
    const isTransposed = !name.endsWith('.bias') && model.layout.storedTransposed(name.replace(/\.weight$/, ''));
    const last = gradients[i]!.shape.length - 1;
    const turned = [...gradients[i]!.shape.keys()].map((axis) =>
      axis === last ? last - 1 : axis === last - 1 ? last : axis,
    );
    return [name, isTransposed ? transpose(gradients[i]!, turned) : gradients[i]!] as const;
  });
  const values = await evaluate(Object.fromEntries(outputs), { executor });
  const none = withoutGradient(wanted);
  for (const [name, expected] of wanted) {
    const largest = none.has(name) ? 1 : largestOf(expected);
    expect(distance(values[name]!, expected) / largest, name).toBeLessThan(1e-4);
  }
};

const places = [...executors, ['webgpu', () => webgpu({ adapter: 'software' })] as const];

describe.each(places)('on %s', (where, open) => {
  const isTried = ({ name }: { readonly name: string }): boolean => where !== 'webgpu' || onWebgpu.includes(name);
  const [goldens, adapters] = [
    familyGoldens.filter(isTried),
    familyAdapters.filter((adapter) => isTried(adapter) && (!adapter.brief || where === 'cpu')),
  ];
  const read = [...adapters, ...ownFamilyAdapters.filter(isTried)];
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  describe.each(goldens)('$name of transformers', (golden) => {
    let recorded: Awaited<ReturnType<typeof recordedOf>>;
    let model: TaskModel;
    beforeAll(async () => {
      recorded = await recordedOf(golden.name, null);
      model = await openModel(golden);
    });

    test('gives the same logits and the same loss', async () => {
      const inputs = inputsOf(recorded);
      const { logits, loss } = await evaluate(
        { logits: storedLogits(golden, model.outputs(inputs), inputs), loss: meanOf(model.loss(inputs)) },
        { executor },
      );
      expect(distance(logits!, recorded.get('logits')!.data)).toBeLessThan(1e-4);
      expect(distance(loss!, recorded.get('losses')!.data)).toBeLessThan(1e-5);
    });

    test('gives the same gradient of every weight', async () => {
      const loss = meanOf(model.loss(inputsOf(recorded)));
      const tensors = new Map([...parameters(model)].map(([name, v]) => [parameterName(name), v]));
      await mustHaveGradients(loss, withTables(groupOf(recorded, 'gradient')), tensors, model, executor);
    });

    test('is saved again as the library saved it, to the bit', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'peftjs-family-'));
      onTestFinished(() => rm(dir, { recursive: true }));
      await saveModel(model, dir, { executor });
      await using theirs = await openModelWeights(familyModel(golden.name));
      await using ours = await openModelWeights(dir);
      // A bias of zeros that transformers makes again by itself, and a row for patches that are hidden in pretraining.
      const saved = [...theirs.tensors.keys()].filter((name) => !/^final_logits_bias$|mask_token$/.test(name));
      expect([...ours.tensors.keys()].map(nameThere).sort()).toEqual(saved.sort());
      for (const [name, { shape }] of ours.tensors) {
        expect(theirs.tensors.get(nameThere(name))!.shape, name).toEqual(shape);
        expect(await ours.readFloat32(name), name).toEqual(await theirs.readFloat32(nameThere(name)));
      }
      const json = async (folder: string): Promise<Record<string, unknown>> =>
        JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
      const [wrote, was] = [await json(dir), await json(familyModel(golden.name))];
      for (const [field, value] of Object.entries(wrote))
        if (was[field] != null && !/^(tie_word_embeddings|is_encoder_decoder)$/.test(field))
          expect(was[field], field).toEqual(
            isObject(value) && /_config$/.test(field) ? expect.objectContaining(value) : value,
          );
      // A number with a point stays one, as transformers insists on.
      const points = async (folder: string): Promise<string[]> =>
        (await readFile(join(folder, 'config.json'), 'utf8')).match(/"\w+_softcapping": \d+\.\d+/g) ?? [];
      expect(await points(dir)).toEqual(await points(familyModel(golden.name)));
    });
  });

  const long = 'phi4-long-causal';
  describe.each(goldens.filter(({ name }) => name.endsWith('causal') && name !== long))(
    '$name of transformers',
    (golden) => {
      test('continues a prompt with the same twenty tokens, alone and beside a shorter one', async () => {
        const recorded = await recordedOf(golden.name, null);
        const model = await loadModel(familyModel(golden.name));
        const greedy = [...recorded.get('greedy')!.data];
        const prompt = Int32Array.from(recorded.get('input_ids')!.data.subarray(0, 8));
        expect(await generate(model, { executor, prompt, maxTokens: 20 })).toEqual(greedy);
        const pair = [prompt.subarray(0, 3), prompt];
        expect((await generate(model, { executor, prompt: pair, maxTokens: 20 }))[1]).toEqual(greedy);
        const [shorter] = await generate(model, { executor, prompt: pair, maxTokens: 20 });
        expect(shorter).toEqual(await generate(model, { executor, prompt: prompt.subarray(0, 3), maxTokens: 20 }));
      });
    },
  );

  test.runIf(goldens.some(({ name }) => name === long))(
    'a text that grows beyond the context of pretraining is rotated otherwise, all of it, pass by pass',
    async () => {
      const recorded = await recordedOf(long, null);
      const model = await loadModel(familyModel(long));
      const text = [...recorded.get('input_ids')!.data.subarray(0, 8)] as number[];
      const prompt = Int32Array.from(text);
      for (const token of recorded.get('greedy')!.data) {
        const ids = constant(Int32Array.from(text), [1, text.length]);
        const { next } = await evaluate(
          { next: argmax(model.logits(ids, { lastOnly: true }), { axis: 2 }) },
          { executor },
        );
        expect(next![0]).toBe(token);
        text.push(token);
      }
      await expect(generate(model, { executor, prompt, maxTokens: 20 })).rejects.toThrow(/context of 8/);
      expect(model.positionsLeft).toBe(8);
    },
  );

  const problems = goldens.filter(({ name }) => name.endsWith('sequence'));
  describe.each(problems)('$name of transformers', (golden) => {
    test.each([
      ['multi-label', 'multi_label_classification'],
      ['regression', 'regression'],
    ] as [Problem, string][])('gives the same loss of %s', async (problem, theirs) => {
      const recorded = await recordedOf(golden.name, null);
      const model = await openModel({ ...golden, task: sequenceClassifier({ labels: 3, problem }) });
      const { data, shape } = recorded.get(`labels ${theirs}`)!;
      const inputs = { ...inputsOf(recorded), labels: constant(data, shape) };
      const { loss } = await evaluate({ loss: meanOf(model.loss(inputs)) }, { executor });
      expect(distance(loss!, recorded.get(`loss ${theirs}`)!.data)).toBeLessThan(1e-5);
    });
  });

  describe.each(read)('$adapter of Python on $name', ({ adapter, format, objective, brief = false, ...golden }) => {
    let recorded: Awaited<ReturnType<typeof recordedOf>>;
    let inputs: ReturnType<typeof inputsOf>;
    let adapted: Adapted<TaskModel>;
    beforeAll(async () => {
      recorded = await recordedOf(golden.name, adapter);
      inputs = inputsOf(await recordedInputs(golden.name, adapter));
      adapted = await openAdapter(golden, familyAdapter(golden.name, adapter), format);
    });
    const byTheirName = (): Map<string, Tensor> =>
      new Map([...adapted.params].map(([name, v]) => [parameterThere(adapted, name), v]));

    test('gives the same logits', async () => {
      const { logits } = await evaluate(
        { logits: storedLogits(golden, adapted.model.outputs(inputs), inputs) },
        { executor },
      );
      expect(distance(logits!, recorded.get('logits')!.data)).toBeLessThan(1e-4);
    });

    test('gives the same gradient of every parameter, the head among them', async () => {
      const by = objective ? { objective: objective(adapted) } : {};
      // These were trained without chance.
      const each = ['poly', 'pvera'].includes(adapter)
        ? adapted.model.loss(inputs)
        : adapted.loss(inputs, constant(Uint32Array.of(1), []), by);
      const loss = meanOf(each);
      await mustHaveGradients(loss, groupOf(recorded, 'gradient'), byTheirName(), adapted.base, executor);
    });

    if (brief) return;
    test('is the same after three steps of `train` on a stream', async () => {
      const rows = await recordedInputs(golden.name, adapter);
      const losses = await trainOnBatch(adapted, rows, executor, objective?.(adapted));
      expect(distance(losses, recorded.get('losses')!.data)).toBeLessThan(1e-4);
      // AdamW makes steps of noise too.
      const none = withoutGradient(groupOf(recorded, 'gradient'));
      for (const [name, v] of adapted.params) {
        if (none.has(parameterThere(adapted, name))) continue;
        const there = groupOf(recorded, 'trained').get(parameterThere(adapted, name))!;
        expect(distance(await executor.read(v), there), name).toBeLessThan(5e-5);
      }
    });
  });

  describe.each(adapters)('$adapter of ours on $name', ({ adapter, format, ...golden }) => {
    const dir = familyWritten(golden.name, adapter);

    test('gave the same logits in its library, which took every tensor', async () => {
      const record = await readRecord(join(dir, 'record.json'));
      await requireSameFiles(familyModel(golden.name), record.base);
      await requireSameFiles(join(dir, 'adapter'), record.adapter);
      const { model } = await openAdapter(golden, join(dir, 'adapter'), format);
      const inputs = inputsOf(await recordedOf(golden.name, null));
      const { logits } = await evaluate({ logits: storedLogits(golden, model.outputs(inputs), inputs) }, { executor });
      const there = await recordedIn(join(dir, 'record.safetensors'));
      expect(distance(logits!, there.get('logits')!.data)).toBeLessThan(1e-4);
    });
  });
});

describe.each(familyAdapters)('$adapter of ours on $name', ({ adapter, format, ...golden }) => {
  // What the steps before gave it is held by the adapters of Python, which take the same ones.
  test('is what our code writes', async () => {
    const now = await mkdtemp(join(tmpdir(), 'peftjs-family-'));
    onTestFinished(() => rm(now, { recursive: true }));
    const then = join(familyWritten(golden.name, adapter), 'adapter');
    await save(await openAdapter(golden, then, format), now, { executor: reference(), baseModel: golden.name });
    const config = async (folder: string): Promise<unknown> =>
      JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
    expect(await config(now)).toEqual(await config(then));
    const weights = adapter.startsWith('hub-') ? 'adapter.safetensors' : 'adapter_model.safetensors';
    const [ours, kept] = await Promise.all([now, then].map((folder) => recordedIn(join(folder, weights))));
    expect([...ours!.keys()].sort()).toEqual([...kept!.keys()].sort());
    for (const [name, { data }] of kept!) expect(ours!.get(name)!.data, name).toEqual(data);
  });
});

describe('an encoder-decoder', () => {
  const golden = familyGoldens.find(({ name }) => name === 't5')!;

  test.each([
    ['apt', apt()],
    ['ladderSide', ladderSide()],
  ])('is refused by %s, which would not say which tower it changes', async (name, method) => {
    const model = await openModel(golden);
    expect(() => attach(model, [method])).toThrow(
      new RegExp(`${name}: is for models of one tower, .* encoder and decoder`),
    );
  });
});

test('an adapter that was trained without a head is refused where the base has a new one', async () => {
  const { task } = familyGoldens[0]!;
  const fresh = await loadModel(familyModel('bert-sequence'), { task, newHead: true });
  await expect(load(fresh, familyAdapter('bert-sequence', 'lora-no-task'), [lora])).rejects.toThrow(
    /the file has no classifier, .* the base's own is new/,
  );
});

test("an encoder's adapter is not written in the layout of a library whose names are not known", async () => {
  const golden = familyGoldens.find(({ name }) => name === 'modernbert-sequence')!;
  const adapted = attach(await openModel(golden), [pfeiffer()]);
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-family-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await expect(save(adapted, dir, { executor: reference() })).rejects.toThrow(
    /pfeiffer: its files are those of adapter-hub.*of modernbert are not known/,
  );
});
