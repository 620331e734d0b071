import { rmsNormLayer, rmsNormPlusOneLayer } from '../../norm.ts';
import type { Family } from '../family.ts';
import { languageHead, lastTokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { DecoderConfig } from './config.ts';
import { decoderConfigJson } from './config-json.ts';
import { jsonName } from './field-names.ts';
import { decoderNeeds } from './needs.ts';
import { type DecoderRecord, traitsOf } from './record.ts';
import { decoderTower, tokenTable } from './tower.ts';

/**
 * The family of a record: decoders with rotary positions, grouped key/value heads and a gated MLP. Paths are Hugging Face's module paths; the
 * weights become variables named as its tensors, read when first used. With tied embeddings `lm_head` is a layer over the embedding's variable.
 */
export const decoder = (record: DecoderRecord): Family<DecoderConfig> => ({
  modelType: record.modelType,
  parser: async () => {
    const { parseDecoder } = await import('./config.ts');
    return (json, problems) => parseDecoder(record, json, problems);
  },
  reads: Object.keys(record.fields ?? {}).map(jsonName),
  configJson: (config) => decoderConfigJson(config, record.activationField ?? 'hidden_act'),
  needs: (config) => decoderNeeds(config, traitsOf(record, config)),
  towers: (config) => [decoderTower(config, traitsOf(record, config))],
  parts: (config, tensors) => {
    const norm = traitsOf(record, config).norm === 'rms' ? rmsNormLayer : rmsNormPlusOneLayer;
    return partsOfTensors(tensors, {
      embeddings: [tokenTable],
      isNorm: (path) => path.endsWith('norm'),
      norm: (values) => norm(values, config.normEps),
      tied: config.tieWordEmbeddings ? ['lm_head', tokenTable] : null,
    });
  },
  layout: { ignored: /\.rotary_emb\.inv_freq$/, prefix: 'model.' },
  roles: [
    { role: 'query', name: 'q_proj' },
    { role: 'key', name: 'k_proj' },
    { role: 'value', name: 'v_proj' },
    { role: 'attn-out', name: 'o_proj' },
    { role: 'gate', name: 'gate_proj' },
    { role: 'up', name: 'up_proj' },
    { role: 'down', name: 'down_proj' },
    { role: 'head', name: 'lm_head' },
  ],
  // So is it called in all of them, before the MLP or after the attention.
  defaultTargets: { normAfterAttention: ['post_attention_layernorm'], ...record.targets },
  heads: {
    causalLM: languageHead(`${record.stem}ForCausalLM`, (config) => {
      const { logitScale, logitCap } = traitsOf(record, config);
      return { scale: logitScale, cap: logitCap };
    }),
    sequenceClassifier: lastTokenHead(`${record.classifierStem ?? record.stem}ForSequenceClassification`),
  },
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    return {
      ...config,
      layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: part(config.hiddenSize),
      // Rotary positions turn pairs.
      headDim: 2 * part(config.headDim / 2),
    };
  },
});
