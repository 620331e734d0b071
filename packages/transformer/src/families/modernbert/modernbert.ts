import { layerNormLayer } from '../../norm.ts';
import type { Family } from '../family.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { ModernBertConfig } from './config.ts';
import { modernBertConfigJson } from './config-json.ts';
import { answerHead, choiceHead, textHead, vocabularyHead, wordHead } from './heads.ts';
import { modernBertNeeds } from './needs.ts';
import { modernBertTower, tokenTable } from './tower.ts';

/**
 * ModernBERT: an encoder with rotary positions, LayerNorm before each part and after the embedding, a gated MLP, one layer `Wqkv` for queries, keys
 * and values; most layers see only near rows. PEFT has no default targets for it. Warner et al., 2024. https://arxiv.org/abs/2412.13663
 */
export const modernbert: Family<ModernBertConfig> = {
  modelType: 'modernbert',
  parser: async () => (await import('./config.ts')).parseModernBert,
  reads: ['layer_types'],
  configJson: modernBertConfigJson,
  needs: modernBertNeeds,
  towers: (config) => [modernBertTower(config)],
  parts: ({ normEps, tieWordEmbeddings, decoderBias }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable],
      isNorm: (path) => path.endsWith('norm'),
      norm: (values) => layerNormLayer(values, normEps),
      tied:
        tieWordEmbeddings && tensors.has(decoderBias ? 'decoder.bias' : 'head.dense.weight')
          ? ['decoder', tokenTable]
          : null,
    }),
  layout: { ignored: /\.inv_freq$/, prefix: 'model.' },
  roles: [
    { role: 'query', name: 'Wqkv', share: [0, 3] },
    { role: 'key', name: 'Wqkv', share: [1, 3] },
    { role: 'value', name: 'Wqkv', share: [2, 3] },
    { role: 'attn-out', name: 'attn.Wo' },
    { role: 'gate', name: 'Wi', share: [0, 2] },
    { role: 'up', name: 'Wi', share: [1, 2] },
    { role: 'down', name: 'mlp.Wo' },
    { role: 'head', name: 'classifier' },
    { role: 'head', name: 'decoder' },
  ],
  defaultTargets: {
    lora: ['Wqkv'],
    ia3: ['Wqkv', 'mlp.Wo'],
    ia3Feedforward: ['mlp.Wo'],
    normAfterAttention: ['mlp_norm'],
  },
  heads: {
    maskedLM: vocabularyHead,
    sequenceClassifier: textHead,
    tokenClassifier: wordHead,
    questionAnswering: answerHead,
    multipleChoice: choiceHead,
  },
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    // Rotary positions turn pairs.
    const headDim = 2 * part(config.headDim / 2);
    return {
      ...config,
      layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: config.heads * headDim,
      headDim,
      layerTypes: Array.from({ length: layers }, (_, i) => config.layerTypes[i] ?? 'full_attention'),
    };
  },
};
