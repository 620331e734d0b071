import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import type { BatchFile } from '../../data/batch.ts';
import { loadLora, loadWeights, type Weight } from '../../peers/load-weights.ts';
import type { GenerateTask, MatmulTask, StepTask } from '../../tasks/task.ts';
import type { Worker } from '../stack.ts';
import { causalMask, llama, ropeOf } from './llama.ts';
import type { Tf, TfTensor, TfVariable } from './types.ts';

type Run = Worker['run'];

const readJson = async <T>(dir: string, name: string): Promise<T> =>
  JSON.parse(await readFile(join(dir, name), 'utf8')) as T;

const tensorsOf = (tf: Tf, weights: ReadonlyMap<string, Weight>): Map<string, TfTensor> =>
  new Map([...weights].map(([name, { shape, data }]) => [name, tf.tensor(data, shape)]));

const variablesOf = (tf: Tf, weights: ReadonlyMap<string, Weight>): Map<string, TfVariable> =>
  new Map([...tensorsOf(tf, weights)].map(([name, t]) => [name, tf.variable(t, true, name)]));

/** The one value of a scalar, which is then freed. */
const valueOf = async (x: TfTensor): Promise<number> => {
  const [value] = await x.data();
  x.dispose();
  return value!;
};

/** A product. */
export const openMatmul = async (tf: Tf, dir: string, task: MatmulTask): Promise<Run> => {
  await using file = await openSafetensors(join(dir, 'operands.safetensors'));
  const operand = async (name: string): Promise<TfTensor> =>
    tf.tensor(await file.readFloat32(name), file.tensors.get(name)!.shape);
  const [a, b] = [await operand('a'), await operand('b')];
  return async () => [
    await valueOf(tf.tidy(() => tf.mean(tf.mean(tf.square(tf.matMul(a, b, task.transposeA, task.transposeB)), 1)))),
  ];
};

/** A step by the library's optimiser; with no weight decay AdamW is Adam. */
export const openStep = async (tf: Tf, dir: string, task: StepTask): Promise<Run> => {
  const { config, tensors } = await loadWeights(dir);
  const isFull = task.method === 'full';
  const trained = variablesOf(tf, isFull ? tensors : await loadLora(dir));
  const frozen = isFull ? new Map<string, TfTensor>() : tensorsOf(tf, tensors);
  const model = llama(tf, config, isFull ? trained : frozen, isFull ? frozen : trained, task.alpha / task.rank);
  const batch = await readJson<BatchFile>(dir, 'batch.json');
  const ids = tf.tensor(Int32Array.from(batch.ids), [batch.ids.length], 'int32');
  const labels = tf.tensor(Int32Array.from(batch.labels), [batch.labels.length], 'int32');
  const pass = { ...ropeOf(tf, config, task.tokens), mask: causalMask(tf, task.tokens) };
  const optimizer = tf.train.adam(task.learningRate, 0.9, 0.999, 1e-8);
  const loss = (): TfTensor => {
    const logits = model.head(model.hidden(ids, task.batch, pass));
    return tf.losses.softmaxCrossEntropy(tf.oneHot(labels, config.vocabSize), logits);
  };
  return async () => [await valueOf(optimizer.minimize(loss, true, [...trained.values()]))];
};

/** Prefill and decode with a cache that grows by concatenation; tokens stay on the device until the end. */
export const openGenerate = async (tf: Tf, dir: string, task: GenerateTask): Promise<Run> => {
  const { config, tensors } = await loadWeights(dir);
  const model = llama(tf, config, tensorsOf(tf, tensors), new Map(), 1);
  const ids = await readJson<number[]>(dir, 'prompt.json');
  const prompt = tf.tensor(Int32Array.from(ids), [ids.length], 'int32');
  const mask = causalMask(tf, ids.length);
  const tables = ropeOf(tf, config, task.prompt + task.tokens);
  const half = config.headDim / 2;

  /** Runs `tokens` from position `start` on; the cache's tensors are replaced. */
  const step = (tokens: TfTensor, start: number, cache: Map<string, TfTensor>): TfTensor => {
    const old = [...cache.values()];
    const next = tf.tidy(() => {
      const count = tokens.shape[0]!;
      const rows = (table: TfTensor): TfTensor => tf.slice(table, [start, 0], [count, half]);
      const grown = (name: string, x: TfTensor): TfTensor => {
        const known = cache.get(name);
        const all = tf.keep(known ? tf.concat([known, x], 2) : tf.add(x, 0));
        cache.set(name, all);
        return all;
      };
      const x = model.hidden(tokens, 1, {
        remember: (layer, k, v) => ({ k: grown(`k${layer}`, k), v: grown(`v${layer}`, v) }),
        cos: rows(tables.cos),
        sin: rows(tables.sin),
        ...(count > 1 && { mask }),
      });
      return tf.argMax(model.head(tf.slice(x, [count - 1, 0], [1, config.hiddenSize])), 1);
    });
    tf.dispose(old);
    return next;
  };

  return async () => {
    const cache = new Map<string, TfTensor>();
    const tokens = [step(prompt, 0, cache)];
    while (tokens.length < task.tokens) tokens.push(step(tokens.at(-1)!, task.prompt + tokens.length - 1, cache));
    tf.dispose([...cache.values()]);
    const chosen = await Promise.all(tokens.map(async (t) => (await t.data())[0]!));
    tf.dispose(tokens);
    return chosen;
  };
};
