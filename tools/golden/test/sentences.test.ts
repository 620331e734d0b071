import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { type Adapted, load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { constant, type Executor, evaluate, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { distance } from '@peftjs/testkit';
import {
  contrastivePairs,
  cosineSimilarity,
  type EmbeddingLoss,
  featureExtraction,
  type Inputs,
  loadModel,
  meanOf,
  multipleNegatives,
  type Pooling,
  sentenceTask,
  type TaskModel,
  triplets,
} from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { groupOf, inputsOf, recordedIn } from '../src/families.ts';
import { executors } from './executors.ts';

const data = join(import.meta.dirname, '../data/sentences');
const tiny = join(data, 'tiny');

const poolings: readonly (readonly [theirs: string, ours: Pooling])[] = [
  ['mean', 'mean'],
  ['mean_sqrt_len_tokens', 'mean-sqrt'],
  ['cls', 'cls'],
  ['lasttoken', 'last'],
  ['max', 'max'],
];

/** Losses as sentence-transformers has them, by the golden's names. Labels of `contrastivePairs` are 0 and 1. */
const losses: Readonly<Record<string, EmbeddingLoss>> = {
  multipleNegatives: multipleNegatives(),
  'multipleNegatives hard': multipleNegatives({ scale: 7, negatives: 1 }),
  triplets: triplets(),
  'triplets cosine': triplets({ distance: 'cosine', margin: 0.7 }),
  cosineSimilarity: cosineSimilarity(),
  contrastivePairs: contrastivePairs(),
  'contrastivePairs euclidean': contrastivePairs({ distance: 'euclidean', margin: 4 }),
};

type Recorded = Awaited<ReturnType<typeof recordedIn>>;

/** The texts, and labels as numbers; of pairs that are together or apart 1 and 0. */
const textsOf = (recorded: Recorded, isBinary = false): Inputs => {
  const { data: numbers, shape } = recorded.get('labels')!;
  const labels = isBinary ? numbers.map((value) => Number(value > 0.5)) : numbers;
  return { ...inputsOf(recorded), labels: constant(labels, shape) };
};

describe.each(executors)('on %s', (_, open) => {
  let executor: Executor;
  let recorded: Recorded;
  beforeAll(async () => {
    executor = await open();
    recorded = await recordedIn(join(data, 'golden.safetensors'));
  });
  afterAll(() => executor.close());
  const valueOf = async (value: Tensor): Promise<Float32Array> =>
    (await evaluate({ value }, { executor }))['value'] as Float32Array;

  test('a BERT without a head gives the states of transformers', async () => {
    const model = await loadModel(tiny, { task: featureExtraction() });
    const states = await valueOf(model.outputs(textsOf(recorded)));
    const { mask } = inputsOf(recorded);
    const kept = await valueOf(mask!);
    const own = (all: ArrayLike<number>): number[] => Array.from(all).map((v, i) => v * kept[Math.floor(i / 16)]!);
    expect(distance(own(states), own(recorded.get('states')!.data))).toBeLessThan(1e-5);
  });

  test.each(poolings)('pools by %s as sentence-transformers does', async (theirs, pooling) => {
    const model = await loadModel(tiny, { task: featureExtraction({ pooling }) });
    const vectors = await valueOf(model.outputs(textsOf(recorded)));
    expect(distance(vectors, recorded.get(`vectors ${theirs}`)!.data)).toBeLessThan(1e-5);
  });

  test('a folder says by itself how its vectors are made', async () => {
    const model = await loadModel(tiny, { task: await sentenceTask(tiny) });
    const vectors = await valueOf(model.outputs(textsOf(recorded)));
    expect(distance(vectors, recorded.get('normalized mean')!.data)).toBeLessThan(1e-6);
  });

  test.each(Object.entries(losses))('%s is the loss of sentence-transformers', async (name, loss) => {
    const model = await loadModel(tiny, { task: featureExtraction({ pooling: 'mean', loss }) });
    const inputs = textsOf(recorded, name.startsWith('contrastive'));
    const [got] = await valueOf(meanOf(model.loss(inputs)));
    const [wanted] = recorded.get(`loss ${name}`)!.data;
    expect(Math.abs(got! - wanted!) / wanted!).toBeLessThan(1e-5);
  });

  describe('an adapter of PEFT on a model without a head', () => {
    let adapted: Adapted<TaskModel>;
    beforeAll(async () => {
      const task = featureExtraction({ pooling: 'mean', loss: multipleNegatives() });
      adapted = await load(await loadModel(tiny, { task }), join(data, 'adapter'), [lora]);
    });

    test('gives the same vectors', async () => {
      const vectors = await valueOf(adapted.model.outputs(textsOf(recorded)));
      expect(distance(vectors, recorded.get('vectors adapted')!.data)).toBeLessThan(1e-5);
    });

    test('gives the same gradients', async () => {
      const wanted = groupOf(recorded, 'gradient');
      const params = [...adapted.params];
      const there = params.map(([name]) => `base_model.model.${name.replace(/^bert\./, '')}`);
      expect([...there].sort()).toEqual([...wanted.keys()].sort());
      const gradients = grad(
        meanOf(adapted.model.loss(textsOf(recorded))),
        params.map(([, v]) => v),
      );
      for (const [i, name] of there.entries()) {
        const expected = wanted.get(name)!;
        const largest = distance(expected, new Float32Array(expected.length));
        expect(distance(await valueOf(gradients[i]!), expected) / largest, name).toBeLessThan(1e-3);
      }
    });

    test('is written again as PEFT wrote it, to the bit', async () => {
      const files = memoryFiles();
      await save(adapted, files, { executor });
      const path = 'adapter_model.safetensors';
      const [ours, theirs] = [await recordedIn({ files, path }), await recordedIn(join(data, 'adapter', path))];
      expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
      for (const [name, t] of theirs) expect(ours.get(name)!.data, name).toEqual(t.data);
    });
  });
});

describe('what cannot be computed', () => {
  const folder = async (modules: unknown, pooling: unknown): Promise<string> => {
    const files = memoryFiles(
      new Map([
        ['modules.json', JSON.stringify(modules)],
        ['1_Pooling/config.json', JSON.stringify(pooling)],
      ]),
    );
    return messageOf('bad-config', () => sentenceTask(files));
  };
  const module = (type: string, path: string) => ({ type: `sentence_transformers.models.${type}`, path });
  const [first, second] = [module('Transformer', ''), module('Pooling', '1_Pooling')];

  test('is refused by name: a module, a pooling, several of them, another place', async () => {
    const mean = { pooling_mode_mean_tokens: true };
    expect(await folder([first, second, module('Dense', '2_Dense')], mean)).toMatch(/Transformer, Pooling, Dense/);
    expect(await folder([first, second], { pooling_mode: 'weightedmean' })).toMatch(/"weightedmean" is not supported/);
    expect(await folder([first, second], { ...mean, pooling_mode_cls_token: true })).toMatch(
      /is not supported; one of/,
    );
    expect(await folder([first, module('Pooling', '../x')], mean)).toMatch(/path must be/);
  });

  test('is refused by the task: no whole examples, no loss', async () => {
    const recorded = await recordedIn(join(data, 'golden.safetensors'));
    const six = inputsOf(recorded);
    const model = await loadModel(tiny, {
      task: featureExtraction({ pooling: 'mean', loss: multipleNegatives({ negatives: 2 }) }),
    });
    expect(await messageOf('bad-shape', () => model.loss(six))).toMatch(/6 rows, .* whole examples of 4 texts/);
    const plain = await loadModel(tiny, { task: featureExtraction() });
    expect(await messageOf('bad-option', () => plain.loss(six))).toMatch(/has no loss/);
  });
});

test('the vectors of MiniLM were made by its own library', async () => {
  const { texts, vectors } = JSON.parse(await readFile(join(data, 'minilm.json'), 'utf8')) as {
    readonly texts: readonly string[];
    readonly vectors: readonly (readonly number[])[];
  };
  expect(vectors.map((row) => row.length)).toEqual(texts.map(() => 384));
  for (const row of vectors) expect(Math.hypot(...row)).toBeCloseTo(1, 5);
});
