import { describeMethods } from '@peftjs/testkit';
import { type CausalLM, keyValueHeads } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Values of an MLP of width 5 that makes a prefix of 3 tokens. */
const prefixSize = ({ config }: CausalLM): number => {
  const { layers, hiddenSize: d, headDim } = config;
  return 3 * d + 5 * (d + 1) + 2 * layers * keyValueHeads(config) * headDim * (5 + 1);
};

/** Values of an adapter of width 3 in every layer. */
const adapterSize = ({ config: { layers, hiddenSize: d } }: CausalLM): number => layers * (3 * d + 3 + d * 3 + d);

/** Values of two updates of rank 2 in every layer, and the outputs they are of. */
const loraSize = ({ config, linears }: CausalLM): number => {
  const { layers, hiddenSize: d, heads, headDim } = config;
  const values = [...linears.keys()].some((path) => path.endsWith('c_attn')) ? heads : keyValueHeads(config);
  return layers * 2 * (2 * d + (heads + values) * headDim);
};

const prefix = { tokens: 3, bottleneck: 5 };
const adapter = { bottleneck: 3 };

describeMethods(family, {
  mam: {
    options: { prefix, adapter },
    parameters: (model) => prefixSize(model) + adapterSize(model),
    identity: false,
  },
  unipelt: {
    options: { prefix, adapter, lora: { rank: 2 } },
    // Four gates in every layer.
    parameters: (model) =>
      prefixSize(model) +
      adapterSize(model) +
      loraSize(model) +
      4 * model.config.layers * (model.config.hiddenSize + 1),
    identity: false,
    causal: false,
  },
});
