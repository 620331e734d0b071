import { grad } from '@peftjs/autograd';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { storedBytes } from '@peftjs/quant';
import { compile, constant, type Executor, evaluate, type Tensor } from '@peftjs/tensor';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { apart } from './apart.ts';
import { type Text, tokensPerSecond, tunedLosses } from './tune.ts';

/** How well a format keeps the model: nothing of it depends on what else the machine does. */
export interface Kept {
  readonly name: string;
  /** Of all layers but the head, with scales and zero points. */
  readonly bits: number;
  /** ‖W − Q‖ / ‖W‖ over the layers (Frobenius). */
  readonly error: number;
  /** Mean negative log likelihood of a held-out token, in nats. */
  readonly loss: number;
  /** Kullback–Leibler divergence of its predictions from those of the floats, in nats a token. */
  readonly moved: number;
  /** Mean loss of held-out chapters after tuning, in nats: the mean over seeds, and the largest distance of one from it. */
  readonly tuned: number;
  readonly spread: number;
  /** Planned peak of a step of LoRA on the cpu executor, in bytes. */
  readonly peak: number;
  /** The most that a process had resident which ran such steps alone, in bytes. */
  readonly resident: number;
}

/** How fast it trains. */
export interface Speed {
  readonly name: string;
  /** How many times as long a training step takes as over f32. */
  readonly slower: number;
  /** Tokens a second that such a step takes in on the cpu executor. */
  readonly onCpu: number;
  /** The same on `webgpu`. */
  readonly onWebGpu: number;
  /** The executor's name for its device, of `webgpu`. */
  readonly adapter: string;
}

/** A row of the table. */
export type Measured = Kept & Speed;

/** Log probabilities of each row, and the mean loss of labels. */
export interface Predictions {
  readonly rows: readonly Float32Array[];
  readonly loss: number;
}

const ids2d = (rows: readonly (readonly number[])[]): Tensor =>
  constant(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length], 'i32');

const logProbs = (row: Float32Array): Float32Array => {
  const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = row.reduce((total, v) => total + Math.exp(v - most), 0);
  return row.map((v) => v - most - Math.log(sum));
};

/** The predictions of a model for texts of one length. */
export const predictionsOf = async (
  model: CausalLM,
  texts: readonly (readonly number[])[],
  executor: Executor,
): Promise<Predictions> => {
  const { logits } = (await evaluate({ logits: model.logits(ids2d(texts)) }, { executor })) as { logits: Float32Array };
  const size = model.config.vocabSize;
  const rows = Array.from({ length: logits.length / size }, (_, i) =>
    logProbs(logits.subarray(i * size, (i + 1) * size)),
  );
  const next = texts.flatMap((text) => [...text.slice(1), -1]);
  const losses = next.flatMap((id, i) => (id < 0 ? [] : [-rows[i]![id]!]));
  return { rows, loss: losses.reduce((a, b) => a + b, 0) / losses.length };
};

const divergence = (p: readonly Float32Array[], q: readonly Float32Array[]): number =>
  p.reduce((sum, row, i) => sum + row.reduce((s, v, j) => s + Math.exp(v) * (v - q[i]![j]!), 0), 0) / p.length;

const layersOf = (model: CausalLM): readonly string[] => [...model.linears.keys()].filter((path) => path !== 'lm_head');

/** Values of all layers but the head. */
const valuesOf = (model: CausalLM): number =>
  layersOf(model).reduce((n, path) => n + model.linears.get(path)!.inDim * model.linears.get(path)!.outDim, 0);

/** Bits a value of all layers but the head. */
export const bitsOf = (model: CausalLM): number => (8 * storedBytes(model)) / valuesOf(model);

const errorOf = async (model: CausalLM, floats: CausalLM, executor: Executor): Promise<number> => {
  let [error, size] = [0, 0];
  for (const path of layersOf(model)) {
    const [q, w] = [model, floats].map((m) => m.linears.get(path)!.dense().weight);
    const got = await evaluate({ q: q!, w: w! }, { executor });
    for (const [i, v] of got['w']!.entries()) {
      error += (v - got['q']![i]!) ** 2;
      size += v * v;
    }
  }
  return Math.sqrt(error / size);
};

/** The planned peak of a step of LoRA on all layers, 4 texts of 128 tokens. */
const peakOf = async (base: CausalLM, executor: Executor): Promise<number> => {
  const { model, params } = attach(base, [lora({ rank: 8, target: 'all-linear' })]);
  const row = Array.from({ length: 128 }, (_, i) => i);
  const ids = ids2d([row, row, row, row]);
  const loss = meanOf(model.loss({ ids, labels: ids }));
  const gradients = grad(loss, [...params.values()]);
  const outputs = { loss, ...Object.fromEntries(gradients.map((g, i) => [`gradient ${i}`, g])) };
  const executable = await compile({ outputs }, { executor });
  executable.close();
  return executable.plan.peakBytes;
};

/** Loss after tuning. */
const tunedOn = async (
  model: CausalLM,
  text: Text,
  executor: Executor,
): Promise<Pick<Measured, 'tuned' | 'spread'>> => {
  const losses = await tunedLosses(model, text, executor);
  const tuned = losses.reduce((a, b) => a + b, 0) / losses.length;
  return { tuned, spread: Math.max(...losses.map((loss) => Math.abs(loss - tuned))) };
};

/** What a quantised model keeps of its floats. */
export const keptOf = async (
  name: string,
  model: CausalLM,
  floats: { readonly model: CausalLM; readonly predictions: Predictions },
  texts: readonly (readonly number[])[],
  text: Text,
  executor: Executor,
): Promise<Kept> => {
  const { rows, loss } = await predictionsOf(model, texts, executor);
  return {
    name,
    bits: bitsOf(model),
    error: await errorOf(model, floats.model, executor),
    loss,
    moved: divergence(floats.predictions.rows, rows),
    ...(await tunedOn(model, text, executor)),
    peak: await peakOf(model, executor),
    resident: (await apart(name, 'cpu')).resident,
  };
};

/** Its speed beside that of the floats; wants a machine that does nothing else. */
export const speedOf = async (
  name: string,
  model: CausalLM,
  floats: CausalLM,
  text: Text,
  executor: Executor,
): Promise<Speed> => {
  const [own, plain] = await tokensPerSecond([model, floats], text, executor);
  const { tokensPerSecond: onWebGpu, device } = await apart(name, 'webgpu');
  return { name, slower: plain! / own!, onCpu: own!, onWebGpu, adapter: device };
};
