import { describeMethods, sumOver } from '@peftjs/testkit';
import * as family from '../src/index.ts';

const outputs = (_: number, outDim: number): number => outDim;

describeMethods(family, {
  ia3: {
    options: {},
    parameters: (model) =>
      sumOver(model, /\.(k_proj|v_proj|c_attn|key|value|k|v)$/, outputs) +
      sumOver(model, /\.(down_proj|mlp\.c_proj|output\.dense|wo)$/, (inDim) => inDim),
  },
  adapterHubIa3: {
    options: {},
    parameters: (model) =>
      sumOver(model, /\.(k_proj|v_proj|down_proj|c_fc|key|value|k|v)$/, outputs) +
      (2 * sumOver(model, /\.c_attn$/, outputs)) / 3,
  },
  peqa: {
    options: { groupSize: 6 },
    parameters: (model) =>
      sumOver(model, /\.(layers|h|layer|block)\.|pooler/, (inDim, outDim) => outDim * Math.ceil(inDim / 6)),
  },
  diffFit: {
    options: {},
    parameters: (model) =>
      sumOver(model, /\.(o_proj|down_proj|c_proj|attention\.output\.dense|output\.dense|o|wo)$/, outputs) +
      [...model.linears].reduce(
        (n, [path, layer]) => n + (path === 'classifier' ? 0 : (layer.dense().bias?.shape[0] ?? 0)),
        0,
      ) +
      [...model.norms.values()].reduce((n, { dim, bias }) => n + dim * (bias ? 2 : 1), 0),
  },
  pasta: {
    options: { tokens: [1, 4], count: 2, dropout: 0 },
    parameters: (model) => 2 * model.paths('block').length * model.config.hiddenSize,
    identity: false,
  },
  mov: {
    options: { experts: 3, topK: 2, balance: 0.1 },
    parameters: (model) =>
      6 *
      (sumOver(model, /\.(k_proj|v_proj|c_attn|key|value|k|v)$/, outputs) +
        sumOver(model, /\.(down_proj|mlp\.c_proj|output\.dense|wo)$/, (inDim) => inDim)),
    identity: false, // the chosen experts' weights sum to less than 1
  },
  llamaAdapterV2: {
    options: {},
    parameters: (model) => {
      const inLayers = [...model.norms].filter(([path]) => model.paths('block').some((b) => path.startsWith(`${b}.`)));
      return (
        sumOver(model, /\.(layers|h|layer|block)\.|pooler/, (inDim, outDim) => inDim + outDim) +
        inLayers.reduce((n, [, { dim, bias }]) => n + dim * (bias ? 2 : 1), 0)
      );
    },
  },
  ssf: {
    options: {},
    parameters: (model) =>
      2 *
      (sumOver(model, /\.(layers|h|layer|block)\.|pooler/, outputs) + (model.norms.size + 1) * model.config.hiddenSize),
    identity: false,
  },
});
