import { describeMethods, sumOver } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Outputs of the layers whose path is such, summed. */
const outputs = (model: CausalLM, target: RegExp): number => sumOver(model, target, (_, outDim) => outDim);

/** Vectors of the norms: a weight each, and on GPT-2 a bias. */
const biases = (model: CausalLM): number => (model.config.modelType === 'gpt2' ? model.norms.size : 0);

describeMethods(family, {
  bitfit: {
    options: {},
    parameters: (model) => outputs(model, /\.(layers|h)\.\d/) + biases(model) * model.config.hiddenSize,
  },
  beft: {
    options: { target: /.*\.(v_proj|c_attn)/ },
    parameters: (model) => outputs(model, /\.(v_proj|c_attn)$/),
  },
  fishMask: {
    options: { keep: 0.1 },
    parameters: (model) =>
      Math.floor(
        [...model.linears].reduce((n, [path, { inDim, outDim }]) => n + (path === 'lm_head' ? 0 : inDim * outDim), 0) /
          10,
      ),
  },
  layerNormTuning: {
    options: {},
    parameters: (model) => (model.norms.size + biases(model)) * model.config.hiddenSize,
  },
});
