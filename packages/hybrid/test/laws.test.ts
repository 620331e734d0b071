import { pfeiffer } from '@peftjs/adapters';
import type { Method } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { prefixTuning, promptTuning } from '@peftjs/prompts';
import { describeMethod, describeMethods, methodLaws, tinyGpt2, tinyLlama } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import { describe, test } from 'vitest';
import * as family from '../src/index.ts';

/** Attentions of all kinds. */
const attentions = ({ paths }: TaskModel): number => paths('attn').length + paths('cross').length;

/** Values of an MLP of width 5 that makes a prefix of 3 tokens, one for each kind of attention. */
const prefixSize = (model: TaskModel): number => {
  const { hiddenSize: d, headDim, keyHeads } = model.main;
  const kinds = model.towers.length > 1 ? 3 : 1;
  return kinds * (3 * d + 5 * (d + 1)) + 2 * attentions(model) * keyHeads * headDim * (5 + 1);
};

/** Values of an adapter of width 3 in every layer. */
const adapterSize = ({ main: { hiddenSize: d }, paths }: TaskModel): number =>
  paths('mlp').length * (3 * d + 3 + d * 3 + d);

/** Values of two updates of rank 2 in every layer, and the outputs they are of. */
const loraSize = (model: TaskModel): number => {
  const { main, linears } = model;
  const { hiddenSize: d, heads, headDim, keyHeads } = main;
  const values = [...linears.keys()].some((path) => path.endsWith('c_attn')) ? heads : keyHeads;
  return attentions(model) * 2 * (2 * d + (heads + values) * headDim);
};

/** Structures of NOAH are of models of pictures. */
const forPictures = (): RegExp => /is for models that read pictures/;

/** Values of NOAH's modules of one size in every layer. */
const noahSize = ({ main, paths }: TaskModel, prompt: number, rank: number, width: number): number => {
  const { hiddenSize: d } = main;
  return paths('block').length * (prompt * d + rank * 4 * d + 2 * width * d + width + d);
};

const prefix = { length: 3, bottleneck: 5 };
const adapter = { bottleneck: 3 };

/** Values of a gate. */
const gateSize = ({ config: { hiddenSize } }: TaskModel): number => hiddenSize + 1;

describeMethods(family, {
  gated: {
    options: { method: lora({ rank: 2 }) },
    formats: [lora],
    parameters: ({ config, linears }) =>
      [...linears].reduce((n, [path, { inDim, outDim }]) => {
        const adapted = /\.(q_proj|v_proj|c_attn|query|value|q|v)$/.test(path);
        return n + (adapted ? 2 * (inDim + outDim) + config.hiddenSize + 1 : 0);
      }, 0),
    causal: false,
  },
  proPetlLora: {
    options: { rank: 2 },
    detaches: 'part', // straight through the masks
    parameters: ({ linears }) => {
      const adapted = [...linears].filter(([path]) => /\.(q_proj|v_proj|c_attn|query|value|q|v)$/.test(path));
      const size = ([, { inDim, outDim }]: (typeof adapted)[number]): number => 2 * (inDim + outDim);
      const kinds = new Map(adapted.map((entry) => [`${entry[0].split('.').at(-1)} ${size(entry)}`, size(entry)]));
      return [...adapted.map(size), ...kinds.values()].reduce((a, b) => a + b, 0);
    },
  },
  proPetlAdapter: {
    options: { bottleneck: 3 },
    detaches: 'part',
    identity: false,
    parameters: (model) => {
      const { hiddenSize: d } = model.main;
      return 2 * 3 * d * (1 + model.paths('mlp').length) + 3 + d;
    },
  },
  noah: { options: {}, parameters: () => 0, identity: false, refuses: forPictures },
  noahSupernet: { options: {}, parameters: () => 0, identity: false, refuses: forPictures },
  mam: {
    options: { prefix, adapter },
    parameters: (model) => prefixSize(model) + adapterSize(model),
    identity: false,
  },
  unipelt: {
    options: { prefix, adapter, lora: { rank: 2 } },
    // Three gates at every attention, and one at every MLP.
    parameters: (model) =>
      prefixSize(model) +
      adapterSize(model) +
      loraSize(model) +
      (3 * attentions(model) + model.paths('mlp').length) * (model.config.hiddenSize + 1),
    identity: false,
    causal: false,
  },
});

describeMethod(
  family.noah,
  {
    options: ({ paths }) => {
      const alike = (size: number): number[] => paths('block').map(() => size);
      return { prompts: alike(2), ranks: alike(2), widths: alike(3) };
    },
    parameters: (model) => noahSize(model, 2, 2, 3),
    identity: false,
  },
  { families: ['vit'] },
);

describeMethod(
  family.noahSupernet,
  {
    // In all layers, or a pass that draws fewer leaves some without a gradient.
    options: ({ paths }) => ({ prompts: [1, 2], ranks: [1, 2], widths: [2, 3], depths: [paths('block').length] }),
    parameters: (model) => noahSize(model, 2, 2, 3),
    identity: false,
  },
  { families: ['vit'] },
);

describe.each<[string, Method, (model: TaskModel) => number]>([
  ['adapters', pfeiffer({ bottleneck: 3 }), (model) => adapterSize(model) + model.config.layers * gateSize(model)],
  [
    'a prefix',
    prefixTuning({ length: 3, bottleneck: 5 }),
    ({ config, main }) => {
      const width = main.keyHeads * main.headDim;
      return (
        3 * width + 5 * (width + 1) + 2 * config.layers * width * (5 + 1) + config.layers * (config.hiddenSize + 1)
      );
    },
  ],
  ['a prompt', promptTuning({ length: 3 }), (model) => 3 * model.config.hiddenSize + gateSize(model)],
])('gates of %s, by definition', (_, method, parameters) => {
  const row = { options: { method }, formats: [pfeiffer, prefixTuning, promptTuning], parameters };
  for (const [name, base] of [
    ['llama', tinyLlama],
    ['gpt2', tinyGpt2],
  ] as const)
    describe(name, () => {
      for (const law of methodLaws({
        factory: family.gated,
        row: { ...row, identity: false, causal: false } as never,
        base,
      }))
        test(law.name, law.check);
    });
});
