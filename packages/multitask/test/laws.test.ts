import { type houlsby, pfeiffer } from '@peftjs/adapters';
import { attach } from '@peftjs/core';
import type { PromptSnapshot } from '@peftjs/prompts';
import { normalValues, randomSource, sizeOf } from '@peftjs/tensor';
import { describeMethod, describeMethods, sumOver } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import { describe } from 'vitest';
import type { FusedAdapter } from '../src/index.ts';
import * as family from '../src/index.ts';
import { moeLoraFor, mtLoraFor, mtlLoraFor, multitaskPromptTuningFor, phaFor, polyFor } from '../src/index.ts';

const attention = /\.(q_proj|v_proj|c_attn|query|value|q|v)$/;

/** Values of pairs [rank, in], [out, rank]: one of every layer but the head, and for each task one of the layers of the last block that make no queries, keys or values. */
const sharedAndOwn = (model: TaskModel, rank: number, tasks: number, taskRank: number): number => {
  const last = model.towers.map((tower) => `${tower.paths('block').at(-1)}.`);
  const isTasks = (path: string): boolean =>
    last.some((block) => path.startsWith(block)) &&
    !/\.(q_proj|k_proj|v_proj|c_attn|query|key|value|q|k|v)$/.test(path);
  const own = [...model.linears].filter(([path]) => isTasks(path));
  return (
    sumOver(model, /^(?!lm_head$|classifier$)/, (inDim, outDim) => rank * (inDim + outDim)) +
    own.reduce((n, [, { inDim, outDim }]) => n + tasks * taskRank * (inDim + outDim), 0)
  );
};

/** A prompt of three rows with random values. */
const prompt = (d: number, name: string): PromptSnapshot => ({
  state: new Map([['prompt_embeddings', { shape: [3, d], data: normalValues(3 * d, 1, randomSource(7, name)) }]]),
});

/** An adapter of a model with random values. */
const trained = (model: TaskModel, factory: typeof houlsby, name: string): FusedAdapter => {
  const { method, state } = attach(model, [factory({ bottleneck: 3 })]);
  return {
    config: method.config(model),
    state: new Map(
      [...state].map(([key, { shape }]) => [
        key,
        { shape, data: normalValues(sizeOf(shape), 0.2, randomSource(7, name + key)) },
      ]),
    ),
  };
};

/** Networks of widths e, p and h that make an adapter of width 2: a set of generators for each of `sets`, of `embeddings` joined. */
const hyperNetSize = ({ towers }: TaskModel, embeddings: number, sets: number): number =>
  towers.reduce((n, { hiddenSize: d, paths }) => {
    const [e, p, h, r] = [3, 4, 5, 2];
    const layers = paths('block').length * e + (sets === 1 ? 2 * e : 0);
    const together = h * (embeddings * e + 1) + p * (h + 1) + 2 * p;
    return n + layers + together + sets * (p + 1) * (2 * d * r + r + 3 * d);
  }, 3);

/** PHA's network of widths r 2, e 3, p 4 and h 5, an encoder's own adapters, and from two tasks on the retriever. */
const phaSize = ({ towers, main }: TaskModel, tasks: number): number => {
  const [r, e, p, h] = [2, 3, 4, 5];
  const adapter = (d: number): number => 2 * d * r + d + r;
  const encoder = towers.length > 1 ? towers[0] : null;
  const network = h * (2 * e + 1) + p * (h + 1) + 2 * p + (p + 1) * adapter(main.hiddenSize);
  const beside = encoder ? encoder.paths('mlp').length * adapter(encoder.hiddenSize) : 0;
  const retriever = tasks > 1 ? h * ((encoder ?? main).hiddenSize + 1) + e * (h + 1) : 0;
  return (tasks + main.paths('block').length) * e + network + beside + retriever;
};

const phaOptions = { bottleneck: 2, embedding: 3, projected: 4, hidden: 5, temperature: 0.5 };

describeMethods(family, {
  pha: {
    options: phaOptions,
    parameters: (model) => phaSize(model, 1),
    identity: false,
  },
  hyperformer: {
    options: ({ main: { hiddenSize } }) => ({ reduction: hiddenSize / 2, embedding: 3, projected: 4, hidden: 5 }),
    parameters: (model) => hyperNetSize(model, 2, 2),
    identity: false,
  },
  hyperformerPlusPlus: {
    options: ({ main: { hiddenSize } }) => ({ reduction: hiddenSize / 2, embedding: 3, projected: 4, hidden: 5 }),
    parameters: (model) => hyperNetSize(model, 3, 1),
    identity: false,
  },
  adapterFusion: {
    options: (model) => ({ adapters: { one: trained(model, pfeiffer, 'one'), two: trained(model, pfeiffer, 'two') } }),
    identity: false,
    parameters: ({ paths, main: { hiddenSize: d } }) => paths('block').length * (3 * d * d + 2 * d),
  },
  moeLora: {
    options: { rank: 4, experts: 2, taskDim: 3, dropout: 0 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 4 * (inDim + outDim) + 3 + 2 * 3),
    learningRate: 0.1,
  },
  mtLora: {
    options: { rank: 2, taskRank: 3, dropout: 0 },
    parameters: (model) => sharedAndOwn(model, 2, 1, 3),
  },
  mtlLora: {
    options: { rank: 2, ups: 3, sharpness: 0.5 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + 3 * outDim) + 2 + 3),
  },
  iptSpace: {
    options: ({ main: { hiddenSize } }) => ({
      sources: [prompt(hiddenSize, 'one')],
      dimension: 2,
      inner: 4,
      reconstruction: 0.1,
    }),
    parameters: ({ main: { hiddenSize: d } }) => 2 * (3 * d + 1) + 4 * (2 + 1) + 3 * d * (4 + 1),
    identity: false,
  },
  tpt: {
    options: { sources: [prompt(5, 'one')], inner: 4 },
    parameters: ({ main: { hiddenSize: d } }) => 4 * (3 * 5 + 1) + 3 * d * (4 + 1) + 2 * d,
    identity: false,
  },
  attempt: {
    options: ({ main: { hiddenSize } }) => ({
      sources: [prompt(hiddenSize, 'one'), prompt(hiddenSize, 'two')],
      length: 3,
      bottleneck: 4,
      temperature: 2,
    }),
    parameters: ({ main: { hiddenSize: d } }) => 3 * d + 2 * 4 * d + 2 * d,
    identity: false,
    causal: false,
    learningRate: 0.1,
  },
  multitaskPromptTuning: {
    options: { length: 3, rank: 2 },
    parameters: ({ config: { hiddenSize: d } }) => 3 * d + 2 * (3 + d),
    identity: false,
    learningRate: 0.1,
  },
  poly: {
    options: { rank: 2, skills: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * 2 * (inDim + outDim) + 3),
    learningRate: 0.1,
  },
});

describe('of parts, for one of several tasks', () => {
  describeMethod(polyFor(1), {
    options: { rank: 2, skills: 2, splits: 2, tasks: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * 2 * (inDim + outDim) + 3 * 4),
    learningRate: 0.1,
  });
  describeMethod(phaFor(1), {
    options: { ...phaOptions, tasks: 3 },
    parameters: (model) => phaSize(model, 3),
    identity: false,
  });
  describeMethod(moeLoraFor(1), {
    options: { rank: 4, experts: 2, taskDim: 3, tasks: 3, dropout: 0 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 4 * (inDim + outDim) + 3 * 3 + 2 * 3),
    learningRate: 0.1,
  });
  describeMethod(mtLoraFor(1), {
    options: { rank: 2, taskRank: 3, tasks: 3, dropout: 0 },
    parameters: (model) => sharedAndOwn(model, 2, 3, 3),
  });
  describeMethod(mtlLoraFor(1), {
    options: { rank: 2, ups: 3, sharpness: 0.5, tasks: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + 3 * outDim) + 3 * (2 + 3)),
  });
  describeMethod(multitaskPromptTuningFor(1), {
    options: { length: 3, tasks: 3 },
    parameters: ({ config: { hiddenSize: d } }) => 3 * d + 3 * (3 + d),
    identity: false,
    learningRate: 0.1,
  });
});
