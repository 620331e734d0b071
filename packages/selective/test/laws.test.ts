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
  ltSft: { options: { keep: 0.1, steps: 2, l1: 0.1 }, parameters: tenth },
  paFi: { options: { keep: 0.1 }, parameters: tenth },
  tokenTuning: {
    options: { tokens: [3, 1, 9] },
    parameters: ({ config }) => 3 * config.hiddenSize,
    learningRate: 0.1,
    refuses: ({ towers }) => (towers.length > 1 ? /one table for encoder and decoder/ : null),
  },
});
