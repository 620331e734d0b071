import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { ModernBertConfig } from './config.ts';

/** The tensors of a norm, with a bias where the config has them. */
export const normNeeds = (path: string, { hiddenSize, normBias }: ModernBertConfig): [string, TensorNeed][] => [
  [`${path}.weight`, { shape: [hiddenSize], init: 'ones' }],
  ...(normBias ? ([[`${path}.bias`, { shape: [hiddenSize], init: 'zeros' }]] as [string, TensorNeed][]) : []),
];

/** The tensors of a ModernBERT's tower by Hugging Face name, in the order of the forward pass. */
export const modernBertNeeds = (config: ModernBertConfig): TensorNeeds => {
  const { hiddenSize: d, intermediateSize: inner, vocabSize, layers, attentionBias, mlpBias } = config;
  const blocks = Array.from({ length: layers }, (_, i): [string, TensorNeed][] => {
    const block = `model.layers.${i}`;
    return [
      // The embedding's norm stands for that of the first.
      ...(i === 0 ? [] : normNeeds(`${block}.attn_norm`, config)),
      ...layerNeeds(`${block}.attn.Wqkv`, 3 * d, d, attentionBias),
      ...layerNeeds(`${block}.attn.Wo`, d, d, attentionBias),
      ...normNeeds(`${block}.mlp_norm`, config),
      ...layerNeeds(`${block}.mlp.Wi`, 2 * inner, d, mlpBias),
      ...layerNeeds(`${block}.mlp.Wo`, d, inner, mlpBias),
    ];
  });
  return new Map([
    ['model.embeddings.tok_embeddings.weight', { shape: [vocabSize, d], init: 'normal' }],
    ...normNeeds('model.embeddings.norm', config),
    ...blocks.flat(),
    ...normNeeds('model.final_norm', config),
  ]);
};
