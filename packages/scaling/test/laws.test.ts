import { describeMethods, sumOver } from '@peftjs/testkit';
import * as family from '../src/index.ts';

const outputs = (_: number, outDim: number): number => outDim;

describeMethods(family, {
  ia3: {
    options: {},
    parameters: (model) =>
      sumOver(model, /\.(k_proj|v_proj|c_attn)$/, outputs) +
      sumOver(model, /\.(down_proj|mlp\.c_proj)$/, (inDim) => inDim),
  },
  adapterHubIa3: {
    options: {},
    parameters: (model) =>
      sumOver(model, /\.(k_proj|v_proj|down_proj|c_fc)$/, outputs) + (2 * sumOver(model, /\.c_attn$/, outputs)) / 3,
  },
  ssf: {
    options: {},
    parameters: (model) =>
      2 * (sumOver(model, /\.layers\.|\.h\./, outputs) + (model.norms.size + 1) * model.config.hiddenSize),
    identity: false,
  },
});
