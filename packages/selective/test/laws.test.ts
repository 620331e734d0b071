import { describeMethods, sumOver } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Outputs of the layers whose path is such, summed. */
const outputs = (model: TaskModel, target: RegExp): number => sumOver(model, target, (_, outDim) => outDim);

/** Norms that have a bias beside their weight. */
const biases = ({ norms }: TaskModel): number => [...norms.values()].filter(({ bias }) => bias).length;

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
  fishMask: {
    options: { keep: 0.1 },
    parameters: (model) =>
      Math.floor(
        [...model.linears].reduce(
          (n, [path, { inDim, outDim }]) => n + (/^(lm_head|classifier)$/.test(path) ? 0 : inDim * outDim),
          0,
        ) / 10,
      ),
  },
  layerNormTuning: {
    options: {},
    parameters: (model) => (model.norms.size + biases(model)) * model.config.hiddenSize,
  },
  tokenTuning: {
    options: { tokens: [3, 1, 9] },
    parameters: ({ config }) => 3 * config.hiddenSize,
    learningRate: 0.1,
    refuses: ({ towers }) => (towers.length > 1 ? /one table for encoder and decoder/ : null),
  },
});
