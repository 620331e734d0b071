import { describeMethods } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Over the layers whose path ends so: `values` of each, summed. */
const over = (model: CausalLM, target: RegExp, values: (inDim: number, outDim: number) => number): number =>
  [...model.linears].reduce((n, [path, { inDim, outDim }]) => n + (target.test(path) ? values(inDim, outDim) : 0), 0);

const attention = /\.(q_proj|v_proj|c_attn)$/;

describeMethods(family, {
  lora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => over(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
});
