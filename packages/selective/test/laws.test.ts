import { describeMethods, sumOver } from '@peftjs/testkit';
import type { Linear, TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Outputs of the layers whose path is such, summed. */
const outputs = (model: TaskModel, target: RegExp): number => sumOver(model, target, (_, outDim) => outDim);

/** Norms that have a bias beside their weight. */
const biases = ({ norms }: TaskModel): number => [...norms.values()].filter(({ bias }) => bias).length;

/** A tenth of the weights that may be chosen. */
const chosenFrom = /^(?!lm_head$|classifier$)/;
const tenth = (model: TaskModel): number =>
  Math.floor(sumOver(model, chosenFrom, (inDim, outDim) => inDim * outDim) / 10);

describeMethods(family, {
  bitfit: {
    options: {},
    parameters: (model) =>
      outputs(model, /\.(layers|h|layer|block)\.\d|pooler/) + biases(model) * model.config.hiddenSize,
  },
  beft: {
    options: { target: /.*\.(v_proj|c_attn|value|v)/ },
    parameters: (model) => outputs(model, /\.(v_proj|c_attn|value|v)$/),
  },
  fishMask: { options: { keep: 0.1 }, parameters: tenth },
  layerNormTuning: {
    options: {},
    parameters: (model) => (model.norms.size + biases(model)) * model.config.hiddenSize,
  },
  childTuningD: { options: { keep: 0.1 }, parameters: tenth },
  childTuningF: { options: {}, parameters: (model) => sumOver(model, chosenFrom, (inDim, outDim) => inDim * outDim) },
  gps: { options: { connections: 2 }, parameters: (model) => 2 * sumOver(model, chosenFrom, (_, outDim) => outDim) },
  xattn: {
    options: {},
    parameters: (model) => sumOver(model, /EncDecAttention/, (inDim, outDim) => inDim * outDim),
    refuses: (model) => (model.paths('cross').length === 0 ? /xattn: \w+ has no cross-attention/ : null),
  },
  diffPruning: {
    options: { gate: 3, sparsity: 0.1 },
    parameters: (model) => sumOver(model, chosenFrom, (inDim, outDim) => 2 * inDim * outDim + 1),
  },
  sensitivitySpt: {
    options: (model) => {
      const [first, second] = [...model.linears.keys()];
      return { rank: 2, lowRank: [first!], mask: { [second!]: [1, 4, 9] } };
    },
    parameters: ({ linears }) => {
      const [{ inDim, outDim }] = [...linears.values()] as [Linear];
      return 2 * (inDim + outDim) + 3;
    },
  },
  fishDip: {
    options: { keep: 0.2, period: 3 },
    parameters: (model) => sumOver(model, chosenFrom, (inDim, outDim) => inDim * outDim),
  },
  sam: {
    options: { keep: 0.1 },
    parameters: (model) => sumOver(model, chosenFrom, (inDim, outDim) => Math.floor((inDim * outDim) / 10)),
  },
  // A tenth of all single biases: those of linear layers, and those that norms have.
  sBitfit: {
    options: { keep: 0.1, structured: false, rounds: 2, steps: 4 },
    parameters: (model) =>
      Math.floor((outputs(model, chosenFrom) + biases(model) * model.config.hiddenSize) / 10 + 1e-9),
  },
  // Of the first block alone, so that the count is by formula: biases of rows too, where the layers have some.
  far: {
    options: (model) => ({ mask: { [model.paths('block')[0]!]: [1, 4, 6] } }),
    parameters: (model) => {
      const [block] = model.paths('block') as readonly [string];
      const parts = model.parts(['gate', 'up', 'down']).filter(({ path }) => path.startsWith(`${block}.`));
      const size = (path: string): number => {
        const { bias } = model.linears.get(path)!.dense();
        return model.main.hiddenSize + (bias ? 1 : 0);
      };
      return 3 * parts.reduce((n, { path, role }) => n + (role === 'down' ? model.main.hiddenSize : size(path)), 0);
    },
  },
  ltSft: { options: { keep: 0.1, steps: 2, l1: 0.1 }, parameters: tenth },
  paFi: { options: { keep: 0.1 }, parameters: tenth },
  tokenTuning: {
    options: { tokens: [3, 1, 9] },
    parameters: ({ config }) => 3 * config.hiddenSize,
    learningRate: 0.1,
    refuses: ({ towers }) => (towers.length > 1 ? /one table for encoder and decoder/ : null),
  },
});
