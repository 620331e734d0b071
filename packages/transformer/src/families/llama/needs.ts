import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { LlamaConfig } from './config.ts';

/** The linear layers of one block: path within it, and what its tensors are. */
const blockLinears = (
  c: LlamaConfig,
): readonly (readonly [path: string, outDim: number, inDim: number, bias: boolean, init: InitKind])[] => {
  const [queries, keys] = [c.heads * c.headDim, c.keyValueHeads * c.headDim];
  return [
    ['self_attn.q_proj', queries, c.hiddenSize, c.attentionBias, 'normal'],
    ['self_attn.k_proj', keys, c.hiddenSize, c.attentionBias, 'normal'],
    ['self_attn.v_proj', keys, c.hiddenSize, c.attentionBias, 'normal'],
    ['self_attn.o_proj', c.hiddenSize, queries, c.attentionBias, 'residual'],
    ['mlp.gate_proj', c.intermediateSize, c.hiddenSize, c.mlpBias, 'normal'],
    ['mlp.up_proj', c.intermediateSize, c.hiddenSize, c.mlpBias, 'normal'],
    ['mlp.down_proj', c.hiddenSize, c.intermediateSize, c.mlpBias, 'residual'],
  ];
};

const norms = ['input_layernorm', 'post_attention_layernorm'];

/** The tensors of a Llama-type tower by Hugging Face name, in the order of the forward pass. */
export const llamaNeeds = (config: LlamaConfig): TensorNeeds => {
  const { vocabSize, hiddenSize, layers } = config;
  const needs = new Map<string, TensorNeed>([
    ['model.embed_tokens.weight', { shape: [vocabSize, hiddenSize], init: 'normal' }],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    for (const [path, outDim, inDim, bias, init] of blockLinears(config)) {
      needs.set(`model.layers.${layer}.${path}.weight`, { shape: [outDim, inDim], init });
      if (bias) needs.set(`model.layers.${layer}.${path}.bias`, { shape: [outDim], init: 'zeros' });
    }
    for (const path of norms) needs.set(`model.layers.${layer}.${path}.weight`, { shape: [hiddenSize], init: 'ones' });
  }
  needs.set('model.norm.weight', { shape: [hiddenSize], init: 'ones' });
  return needs;
};
