import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { DecoderConfig } from './config.ts';
import type { Traits } from './record.ts';

/** The linear layers of one block: path within it, and what its tensors are. */
const blockLinears = (
  c: DecoderConfig,
  { biases }: Traits,
): readonly (readonly [path: string, outDim: number, inDim: number, bias: boolean, init: InitKind])[] => {
  const [queries, keys] = [c.heads * c.headDim, c.keyValueHeads * c.headDim];
  return [
    ['self_attn.q_proj', queries, c.hiddenSize, biases.qkv, 'normal'],
    ['self_attn.k_proj', keys, c.hiddenSize, biases.qkv, 'normal'],
    ['self_attn.v_proj', keys, c.hiddenSize, biases.qkv, 'normal'],
    ['self_attn.o_proj', c.hiddenSize, queries, biases.out, 'residual'],
    ['mlp.gate_proj', c.intermediateSize, c.hiddenSize, biases.mlp, 'normal'],
    ['mlp.up_proj', c.intermediateSize, c.hiddenSize, biases.mlp, 'normal'],
    ['mlp.down_proj', c.hiddenSize, c.intermediateSize, biases.mlp, 'residual'],
  ];
};

/** The norms of a block on the stream, by name, in the order of the forward pass. */
export const blockNorms = ({ norms: { attn, mlp } }: Traits): readonly string[] =>
  [attn.before, attn.after, mlp.before, mlp.after].filter((name) => name !== null);

/** The norms of queries and keys: path within a block, and width. */
const queryKeyNorms = (c: DecoderConfig, { queryKeyNorms: kind }: Traits): readonly (readonly [string, number])[] => {
  if (!kind) return [];
  const width = (heads: number): number => (kind === 'by-head' ? c.headDim : heads * c.headDim);
  return [
    ['self_attn.q_norm', width(c.heads)],
    ['self_attn.k_norm', width(c.keyValueHeads)],
  ];
};

/** The tensors of a gated decoder's tower by Hugging Face name, in the order of the forward pass. */
export const decoderNeeds = (config: DecoderConfig, traits: Traits): TensorNeeds => {
  const { vocabSize, hiddenSize, layers } = config;
  const init = traits.norm === 'rms-plus-one' ? 'zeros' : 'ones';
  const needs = new Map<string, TensorNeed>([
    ['model.embed_tokens.weight', { shape: [vocabSize, hiddenSize], init: 'normal' }],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `model.layers.${layer}`;
    for (const [path, outDim, inDim, bias, kind] of blockLinears(config, traits)) {
      needs.set(`${block}.${path}.weight`, { shape: [outDim, inDim], init: kind });
      if (bias) needs.set(`${block}.${path}.bias`, { shape: [outDim], init: 'zeros' });
    }
    for (const [path, width] of queryKeyNorms(config, traits))
      needs.set(`${block}.${path}.weight`, { shape: [width], init });
    for (const path of blockNorms(traits)) needs.set(`${block}.${path}.weight`, { shape: [hiddenSize], init });
  }
  needs.set('model.norm.weight', { shape: [hiddenSize], init });
  return needs;
};
