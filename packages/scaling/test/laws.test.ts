import { describeMethods } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Over the layers whose path ends so: `values` of each, summed. */
const over = (model: CausalLM, target: RegExp, values: (inDim: number, outDim: number) => number): number =>
  [...model.linears].reduce((n, [path, { inDim, outDim }]) => n + (target.test(path) ? values(inDim, outDim) : 0), 0);

const outputs = (_: number, outDim: number): number => outDim;

describeMethods(family, {
  ia3: {
    options: {},
    parameters: (model) =>
      over(model, /\.(k_proj|v_proj|c_attn)$/, outputs) + over(model, /\.(down_proj|mlp\.c_proj)$/, (inDim) => inDim),
  },
  ia3Hub: {
    options: {},
    parameters: (model) =>
      over(model, /\.(k_proj|v_proj|down_proj|c_fc)$/, outputs) + (2 * over(model, /\.c_attn$/, outputs)) / 3,
  },
  ssf: {
    options: {},
    parameters: (model) =>
      2 * (over(model, /\.layers\.|\.h\./, outputs) + (model.norms.size + 1) * model.config.hiddenSize),
    identity: false,
  },
});
