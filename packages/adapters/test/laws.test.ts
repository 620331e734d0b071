import { describeMethod, describeMethods } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Values of bottlenecks of width 3, so many in every layer. */
const bottlenecks =
  (each: number, more = 0) =>
  (model: TaskModel): number => {
    const { hiddenSize: d } = model.main;
    return model.paths('block').length * each * (3 * d + 3 + d * 3 + d + more);
  };

/** Values of a side network of a quarter of the width, a layer beside each, and its projections. */
const side = ({ main, linears, layout }: TaskModel): number => {
  const { hiddenSize: d, heads, keyHeads } = main;
  const layers = main.paths('block').length;
  const intermediateSize = [...linears].find(([path]) => /up_proj|c_fc|fc1|intermediate/.test(path))![1].outDim;
  const [w, ff] = [d / 4, Math.round(intermediateSize / 4)];
  const downs = (layers + 1) * (w * d + w) + layers;
  const up = d * w + d;
  if (['bert', 'vit'].includes(layout.modelType))
    return downs + up + layers * (4 * (w * w + w) + 2 * w * ff + ff + w + 4 * w) + 2 * w;
  if (layout.modelType === 'gpt2')
    return downs + up + layers * (3 * w * w + 3 * w + w * w + w + 2 * w * ff + ff + w + 4 * w) + 2 * w;
  const [q, kv] = [heads * 2, keyHeads * 2]; // headDim 6 / 4, made even
  return downs + up + layers * (2 * w * q + 2 * w * kv + 3 * w * ff + 2 * w) + w;
};

/** Values of Kronecker bottlenecks of width 4, of products of rank 1. */
const compact =
  (each: number, n: number) =>
  (model: TaskModel): number => {
    const { hiddenSize: d } = model.main;
    return model.paths('block').length * each * (2 * (d + 4) + 4 + d) + n ** 3;
  };

/** Values of interventions after every layer: W, b and P of each. */
const edits =
  (each: number, rank: number) =>
  (model: TaskModel): number =>
    model.paths('block').length * each * rank * (2 * model.main.hiddenSize + 1);

/** Six tenths of the entries of the matrices of bottlenecks of width 3, so many in every layer, and all biases. */
const sparse =
  (each: number) =>
  (model: TaskModel): number => {
    const { hiddenSize: d } = model.main;
    const all = model.paths('block').length * each;
    return Math.floor(0.6 * all * 6 * d) + all * (3 + d);
  };

/** Values of an invertible adapter that narrows to a fourth of the channels. */
const invertible = ({ main: { hiddenSize: d } }: TaskModel): number => 2 * ((d / 4) * (d / 2) * 2 + d / 4 + d / 2);

describeMethods(family, {
  madX: {
    options: { bottleneck: 3 },
    identity: false,
    parameters: (model) => bottlenecks(1)(model) + invertible(model),
  },
  madXHoulsby: {
    options: { bottleneck: 3, invertHead: false, dropout: 0.1 },
    identity: false,
    parameters: (model) => bottlenecks(2)(model) + invertible(model),
  },
  ciat: {
    options: { bottleneck: 3, embedding: 2, dropout: 0 },
    identity: false,
    parameters: ({ towers }) =>
      towers.reduce((n, { hiddenSize: d, paths }) => {
        const size = (r: number): number => 2 * d * r + r + d;
        return n + (paths('attn').length + paths('mlp').length) * size(3) + size(2) + 2 * d;
      }, 0),
  },
  coda: {
    options: { bottleneck: 3, ratio: 1.25, epsilon: 3 },
    identity: false,
    parameters: ({ main: { hiddenSize: d }, towers }) => {
      const encoder = towers.find(({ attends }) => attends === 'all');
      return encoder!.paths('block').length * (d + 2 * d * 3 + 3 + d);
    },
    refuses: ({ towers }) => (towers.some(({ attends }) => attends === 'all') ? null : /coda: .* it is for encoders/),
  },
  sideTuning: {
    options: ({ config }) => ({ reduction: config.hiddenSize > 8 ? 12 : 4 }),
    identity: false,
    detaches: 'backbone',
    refuses: ({ towers }) => (towers.length > 1 ? /sideTuning: is for models of one tower/ : null),
    // As that of `ladderSide`, without a projection and a gate for each layer, and with one factor.
    parameters: (model) => {
      const { hiddenSize: d, paths } = model.main;
      return side(model) - paths('block').length * ((d / 4) * d + d / 4 + 1) + 1;
    },
  },
  // Of bert, gpt2 and t5: encoders, learned positions, two towers.
  shadow: {
    options: { rank: 3, inner: 2, alpha: 0.7, dropout: 0.1 },
    refuses: ({ layout: { modelType } }) => (modelType === 'llama' ? null : /shadow: is for/),
    parameters: ({ main: { hiddenSize: d, paths }, linears, norms }) => {
      const first = ([path]: readonly [string, unknown]): boolean => !/\.[1-9]\d*\.|lm_head/.test(path);
      const mirror = [...linears].filter(first).reduce((n, [, { outDim, inDim }]) => n + outDim * inDim, 0);
      const scales = [...norms].filter(first).reduce((n, [, { dim }]) => n + dim, 0);
      const blocks = paths('block').length; // The state behind the last is not read.
      return mirror + scales + blocks * 2 * 3 * d + (blocks - 1) * 2 * (2 * 2 * d + 2 + d);
    },
  },
  meft: {
    options: { bottleneck: 3, keepEvery: 0 },
    identity: false,
    refuses: ({ towers }) => (towers.length > 1 ? /meft: is for models of one tower/ : null),
    parameters: bottlenecks(2),
  },
  resTuning: {
    options: { bottleneck: 3 },
    identity: false,
    detaches: 'backbone',
    refuses: ({ towers }) => (towers.length > 1 ? /resTuning: is for models of one tower/ : null),
    parameters: ({ main: { hiddenSize: d, paths } }) => paths('block').length * 2 * (2 * d * 3 + 3 + d),
  },
  residualAdapter: {
    options: { bottleneck: 3 },
    identity: false,
    parameters: (model) => bottlenecks(1, 2 * model.main.hiddenSize)(model),
  },
  hadamardAdapter: {
    options: {},
    parameters: ({ main, norms, paths }) => {
      const biased = [...norms.values()].at(-1)!.bias ? 2 : 1;
      return paths('block').length * main.hiddenSize * (2 + biased);
    },
  },
  loReft: { options: { rank: 3, dropout: 0 }, identity: false, parameters: edits(1, 3) },
  // The last tokens are others once more follow.
  noReft: {
    options: { rank: 2, prefixPositions: 1, suffixPositions: 2, activation: 'tanh' },
    identity: false,
    causal: false,
    parameters: edits(2, 2),
  },
  diReft: { options: { rank: 2, prefixPositions: 4, tied: true }, identity: false, parameters: edits(1, 2) },
  compacter: {
    options: { bottleneck: 4, dimension: 2, ruleStd: 0.5 },
    identity: false,
    parameters: compact(2, 2),
  },
  compacterPlusPlus: {
    options: { bottleneck: 4, dimension: 2, activation: 'relu', scale: 2, dropout: 0.1, ruleStd: 0.5 },
    identity: false,
    parameters: compact(1, 2),
  },
  // Norms begin at 1 and 0; the last norm is of the sum, so that training does not begin at the base.
  bottleneckAdapter: {
    options: {
      bottleneck: 3,
      activation: 'prelu',
      originalLnBefore: true,
      residualBeforeLn: false,
      lnBefore: true,
      lnAfter: true,
      adapterResidualBeforeLn: true,
    },
    identity: false,
    parameters: (model) => bottlenecks(2, 4 * model.main.hiddenSize + 1)(model),
  },
  tinyAttention: {
    options: { heads: 2, headDim: 1 },
    identity: false,
    parameters: (model) => {
      const { hiddenSize: d } = model.main;
      return model.paths('attn').length * (2 * d + 6 * d + 6 + 12 + 6 + 4 + 2 + 2 * d + d);
    },
  },
  sparseAdapter: { options: { bottleneck: 3 }, identity: false, parameters: sparse(2) },
  adapterPlus: {
    options: { bottleneck: 3 },
    identity: false,
    // The library leaves out the norm of the sum, and the stream with it.
    refuses: ({ towers }) => (towers.some(({ normsSums }) => normsSums) ? /leaves out the norms behind/ : null),
    parameters: (model) => bottlenecks(1, model.main.hiddenSize)(model),
  },
  houlsby: { options: { bottleneck: 3 }, identity: false, parameters: bottlenecks(2) },
  pfeiffer: { options: { bottleneck: 3, activation: 'tanh' }, identity: false, parameters: bottlenecks(1) },
  llmAdapter: {
    options: { bottleneck: 3, scale: 'learned', dropout: 0.1 },
    identity: false,
    parameters: (model) => {
      const paths = new Set(model.parts(['gate', 'up', 'down']).map(({ path }) => path));
      return [...paths].reduce((n) => n + 2 * 3 * model.main.hiddenSize + 1, 0);
    },
  },
  // Heads do not get narrower than two, so in tiny models the side network is wider than its share.
  ladderSide: {
    options: ({ config }) => ({ reduction: config.hiddenSize > 8 ? 12 : 4 }),
    detaches: 'backbone',
    refuses: ({ towers }) => (towers.length > 1 ? /ladderSide: is for models of one tower/ : null),
    parameters: side,
  },
  parallelAdapter: { options: { bottleneck: 3, scale: 'learned', dropout: 0.1 }, parameters: bottlenecks(1, 1) },
});

// Its gates are a mean over whole sequences.
describeMethod(family.pfeiffer, {
  options: { bottleneck: 3, gating: true },
  identity: false,
  causal: false,
  parameters: (model) => bottlenecks(1, model.config.hiddenSize + 1)(model),
});

// Over texts that all is tried on, and over pictures.
describeMethod(
  family.coda,
  {
    options: { bottleneck: 3, ratio: 1.5, epsilon: 3, keys: 'chosen' },
    identity: false,
    parameters: ({ main: { hiddenSize: d, paths } }) => paths('block').length * (d + 2 * d * 3 + 3 + d),
  },
  { families: ['bert', 'vit'] },
);

// Over pictures.
describeMethod(
  family.ladderSide,
  {
    options: ({ config }) => ({ reduction: config.hiddenSize > 8 ? 12 : 4 }),
    detaches: 'backbone',
    parameters: side,
  },
  { families: ['vit'] },
);

// In blocks of unlike width.
describeMethod(
  family.houlsby,
  {
    options: { bottleneck: 3 },
    identity: false,
    parameters: (model) =>
      [...model.paths('attn'), ...model.paths('mlp')].reduce((n, path) => n + 7 * model.widthAt(path) + 3, 0),
  },
  { families: ['swin'] },
);
