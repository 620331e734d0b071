import { grad } from '@peftjs/autograd';
import { attach, type Method, merge } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { dora, loha, lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { promptTuning } from '@peftjs/prompts';
import { nf4, quantize } from '@peftjs/quant';
import { ia3, ssf } from '@peftjs/scaling';
import { bitfit } from '@peftjs/selective';
import {
  compile,
  constant,
  type Executor,
  evaluate,
  halfToNumber,
  isVariable,
  normalValues,
  numberToHalf,
  randomSource,
  reference,
  sizeOf,
} from '@peftjs/tensor';
import { adamw, allWeights, linear, makeTrainStep, packTokens, train } from '@peftjs/trainer';
import {
  buildModel,
  type CausalLM,
  type Inputs,
  loadModel,
  maskedLM,
  meanOf,
  saveModel,
  seq2seqLM,
  storedValues,
  type TaskModel,
  tokenClassifier,
  type WeightSource,
} from '@peftjs/transformer';
import {
  distance,
  tinyBertConfig,
  tinyConfig,
  tinyGpt2Config,
  tinyT5Config,
  tokens,
} from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

const t5 = { ...tinyT5Config, encoderLayers: 2, headDim: 4 };

/** Weights of N(0, 0.3²), the matrices rounded or not. */
const weightsOf = (round: boolean, dtype: 'f32' | 'f16'): WeightSource => ({
  has: () => true,
  dtype,
  load: (name, shape) => {
    const values = normalValues(sizeOf(shape), 0.3, randomSource(0, name));
    return round && shape.length === 2 ? values.map((v) => halfToNumber(numberToHalf(v))) : values;
  },
});
const rounded = weightsOf(true, 'f32');
const halves = weightsOf(false, 'f16');
const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, 1], [3, -100, 0, 7, 2]);
const decoderIds = tokens([0, 5, 2, 9, 4], [0, 3, 0, 0, 7]);

const makers: readonly (readonly [name: string, make: (weights: WeightSource) => TaskModel, inputs: Inputs])[] = [
  ['llama', (w) => buildModel(tinyConfig, w), { ids, labels }],
  ['llama with a tied head', (w) => buildModel({ ...tinyConfig, tieWordEmbeddings: true }, w), { ids, labels }],
  ['gpt2', (w) => buildModel(tinyGpt2Config, w), { ids, labels }],
  ['bert', (w) => buildModel(tinyBertConfig, w, maskedLM()), { ids, labels }],
  ['t5', (w) => buildModel(t5, w, seq2seqLM()), { ids, labels, decoderIds }],
];

const near = (got: ArrayLike<number>, wanted: ArrayLike<number>): void => {
  expect(got.length).toBe(wanted.length);
  for (let i = 0; i < wanted.length; i++)
    if (!(Math.abs(got[i]! - wanted[i]!) <= 1e-5 * Math.max(1, Math.abs(wanted[i]!))))
      expect.fail(`value ${i} is ${got[i]} of f16 weights, ${wanted[i]} of the same values in f32`);
};

/** Executors that keep f16 as it is; the reference holds all values as numbers of JavaScript. */
const halved = ['cpu', 'webgpu'];

describe.each(executors)('on %s', (name, open, another) => {
  test.each(makers)('%s with f16 matrices gives what the rounded values give in f32', async (_, make, inputs) => {
    const executor = await open();
    const look = async (model: TaskModel) =>
      evaluate({ y: model.outputs(inputs), loss: meanOf(model.loss(inputs)) }, { executor });
    const [got, wanted] = [await look(make(halves)), await look(make(rounded))];
    near(got['y']!, wanted['y']!);
    near(got['loss']!, wanted['loss']!);
    const unrounded = await look(make(weightsOf(false, 'f32')));
    expect(distance(unrounded['y']!, wanted['y']!)).toBeGreaterThan(1e-5);
  });

  test(`${halved.includes(name) ? 'half' : 'all'} the memory of f32`, async () => {
    const config = { ...tinyConfig, hiddenSize: 32, intermediateSize: 64, vocabSize: 256 };
    const look = async (weights: WeightSource): Promise<{ readonly held: number; readonly planned: number }> => {
      // One of its own: in a shared one the values of other tests go when the collector comes.
      const executor = await another();
      const program = await compile({ outputs: { y: buildModel(config, weights).logits(ids) } }, { executor });
      await program.run();
      const held = executor.memory().byKind.variables;
      const planned = program.plan.tensors
        .filter(({ kind }) => kind === 'variable')
        .reduce((sum, { bytes }) => sum + bytes, 0);
      program.close();
      await executor.close();
      return { held, planned };
    };
    const [half, whole] = [await look(halves), await look(rounded)];
    const share = halved.includes(name) ? 0.51 : 1;
    expect(half.held / whole.held).toBeLessThanOrEqual(share);
    // The reference plans nothing.
    if (name !== 'reference') expect(half.planned / whole.planned).toBeLessThanOrEqual(share);
  });
});

test('a step of LoRA on the cpu never has all weights in f32', async () => {
  const executor = await cpu({ threads: 1 });
  const config = { ...tinyConfig, hiddenSize: 96, intermediateSize: 256, layers: 6 };
  const peakOf = async (weights: WeightSource): Promise<number> => {
    const peaks: number[] = [];
    const watched: Executor = {
      ...executor,
      compile: async (program) => {
        const made = await executor.compile(program);
        peaks.push(made.plan.peakBytes);
        return made;
      },
    };
    const target = attach(buildModel(config, weights), [lora({ rank: 2 })]);
    const columns = { shape: [1, 8], dtype: 'i32' } as const;
    const inputs = { ids: columns, labels: columns };
    (await makeTrainStep(target, { executor: watched, optimizer: adamw(), inputs })).close();
    return peaks[0]!;
  };
  const [half, whole] = [await peakOf(halves), await peakOf(rounded)];
  await executor.close();
  expect(half / whole).toBeLessThan(0.7);
});

const exact = reference();
const data = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

describe('LoRA over an f16 base', () => {
  const schedule = linear({ learningRate: 0.03, steps: 6 });
  const tune = async (base: CausalLM, executor: Executor) => {
    const adapted = attach(base, [lora({ rank: 2, target: 'all-linear' })]);
    const { losses } = await train(adapted, { executor, data, steps: 6, batchSize: 2, schedule });
    return { adapted, losses: losses.map(({ loss }) => loss) };
  };
  const weightOf = (model: CausalLM) => storedValues(model.linears.get('model.layers.0.self_attn.q_proj')!)!.weight;

  test('trains the adapter in f32 as over the same values in f32, and leaves the base as it is', async () => {
    const base = buildModel(tinyConfig, halves);
    const weight = weightOf(base);
    expect(weight.dtype).toBe('f16');
    if (!isVariable(weight)) return expect.fail('the weight is no variable');
    const before = await exact.read(weight);
    const half = await tune(base, exact);
    expect(await exact.read(weight)).toEqual(before);
    for (const p of half.adapted.params.values()) expect(p.dtype).toBe('f32');
    const whole = await tune(buildModel(tinyConfig, rounded), exact);
    near(half.losses, whole.losses);
    expect(half.losses.at(-1)).toBeLessThan(half.losses[0]!);
  });

  test('merges into f16, with the errors relative to the change; or into f32 without', async () => {
    const { adapted } = await tune(buildModel(tinyConfig, halves), exact);
    const [half, whole] = [
      await merge(adapted, { executor: exact }),
      await merge(adapted, { executor: exact, format: 'dense' }),
    ];
    expect(weightOf(half.model).dtype).toBe('f16');
    expect(half.errors.size).toBe(adapted.base.linears.size - 1);
    for (const error of half.errors.values()) {
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(0.05);
    }
    expect(whole.errors.size).toBe(0);
    const value = async (model: CausalLM) =>
      (
        await evaluate({ w: model.linears.get('model.layers.0.self_attn.q_proj')!.dense().weight }, { executor: exact })
      )['w']!;
    const [stored, wanted] = [await value(half.model), await value(whole.model)];
    expect(stored).toEqual(Float32Array.from(wanted, (v) => halfToNumber(numberToHalf(v))));
  });

  test.each<[string, Method]>([
    ['dora', dora({ rank: 2, target: 'all-linear' })],
    ['loha', loha({ rank: 2 })],
    ['trained tokens', lora({ rank: 2, trainableTokens: [3, 5] })],
    ['modules to save', lora({ rank: 2, modulesToSave: ['lm_head', 'embed_tokens'] })],
    ['lora at the head', lora({ rank: 2, target: ['lm_head', 'embed_tokens'] })],
    ['ia3', ia3()],
    ['ssf', ssf()],
    ['prompts', promptTuning({ length: 2, init: 'vocabulary' })],
    ['bitfit', bitfit()],
  ])('%s does over it what it does over the same values in f32', async (_, method) => {
    for (const tieWordEmbeddings of [false, true]) {
      const look = async (weights: WeightSource) => {
        const adapted = attach(buildModel({ ...tinyConfig, tieWordEmbeddings }, weights), [method]);
        const loss = meanOf(adapted.loss({ ids, labels }, constant(Uint32Array.of(1), [])));
        const gradients = grad(loss, [...adapted.params.values()]);
        return evaluate({ loss, ...Object.fromEntries(gradients.map((g, i) => [`g${i}`, g])) }, { executor: exact });
      };
      const [got, wanted] = [await look(halves), await look(rounded)];
      expect(Object.keys(got)).toEqual(Object.keys(wanted));
      for (const [name, values] of Object.entries(wanted)) near(got[name]!, values);
    }
  });

  test('quantises as the same values in f32 do', async () => {
    const look = async (weights: WeightSource) =>
      (await evaluate({ y: quantize(buildModel(tinyConfig, weights), nf4()).logits(ids) }, { executor: exact }))['y']!;
    expect(await look(halves)).toEqual(await look(rounded));
  });
});

describe('loadModel with dtype f16', () => {
  const saved = async (dtype: 'f32' | 'f16') => {
    const files = memoryFiles();
    await saveModel(buildModel({ ...tinyConfig, tieWordEmbeddings: true }, weightsOf(false, 'f32')), files, {
      executor: exact,
      dtype,
    });
    return files;
  };
  const bytesOf = async (files: ReturnType<typeof memoryFiles>): Promise<Uint8Array> =>
    await files.read('model.safetensors');

  test.each(['f16', 'f32'] as const)('of a file of %s writes the bits that f16 has of it', async (dtype) => {
    const model = await loadModel(await saved(dtype), { dtype: 'f16' });
    const again = memoryFiles();
    await saveModel(model, again, { executor: reference(), dtype: 'f16' });
    expect(await bytesOf(again)).toEqual(await bytesOf(await saved('f16')));
  });

  test('keeps a new head, which is trained, as f32', async () => {
    const files = memoryFiles();
    await saveModel(buildModel(tinyBertConfig, weightsOf(false, 'f32'), maskedLM()), files, { executor: exact });
    const model = await loadModel(files, { task: tokenClassifier({ labels: 2 }), dtype: 'f16' });
    const dtypes = new Map([...model.linears].map(([path, layer]) => [path, storedValues(layer)!.weight.dtype]));
    expect(dtypes.get('classifier')).toBe('f32');
    expect(dtypes.get('bert.encoder.layer.0.attention.self.query')).toBe('f16');
    const adapted = attach(model, [lora({ rank: 2 })]);
    expect([...adapted.params.keys()].filter((name) => name.startsWith('classifier.'))).toHaveLength(2);
    expect((await evaluate({ y: adapted.model.outputs({ ids }) }, { executor: exact }))['y']).toHaveLength(20);
  });

  test('refuses another dtype, a value beyond the range of f16, and to train the weights', async () => {
    const files = await saved('f32');
    await expect(loadModel(files, { dtype: 'bf16' as never })).rejects.toMatchObject({
      code: 'bad-option',
      message: 'loadModel: dtype must be one of f32, f16, got "bf16"',
    });
    const large = buildModel(tinyConfig, { ...halves, load: (_, shape) => new Float32Array(sizeOf(shape)).fill(7e4) });
    await expect(evaluate({ y: large.logits(ids) }, { executor: exact })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(/holds 70000, too large for f16, whose largest value is 65,504/),
    });
    const model = await loadModel(files, { dtype: 'f16' });
    expect(() => allWeights(model)).toThrow(/^parameters: .* are kept as f16, .* load the model with dtype: 'f32'/);
  });
});
