import { layerNormLayer } from '../../norm.ts';
import { answerHead, endHead, rowsAtEnds, withDecoderIds } from '../decoder-inputs.ts';
import type { Family } from '../family.ts';
import { languageHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { BartConfig } from './config.ts';
import { bartConfigJson } from './config-json.ts';
import { bartNeeds } from './needs.ts';
import { type BartRecord, tokenTable } from './record.ts';
import { bartTower } from './tower.ts';

/** The norms' own, which no config names: torch's default. */
const normEps = 1e-5;

/**
 * The family of a record. Inputs: `ids` and `mask` of the encoder, `decoderIds` and `decoderMask` of the decoder, which a caller shifts; for classes and answers they are made of
 * `ids` where they are missing. Paths are
 * Hugging Face's module paths; the site `mlp` is at `fc2`. Dropout of the base is off, as in every family. A checkpoint whose
 * `final_logits_bias` is not zero is refused.
 */
const bartFamily = (record: BartRecord): Family<BartConfig> => ({
  modelType: record.modelType,
  parser: async () => {
    const { parseBart } = await import('./config.ts');
    return (json, problems) => parseBart(record, json, problems);
  },
  configJson: bartConfigJson,
  needs: (config) => bartNeeds(record, config),
  towers: (config) => [bartTower(record, config, 'encoder'), bartTower(record, config, 'decoder')],
  parts: ({ tieWordEmbeddings }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable, 'model.encoder.embed_positions', 'model.decoder.embed_positions'],
      isNorm: (path) => /(layer_norm|layernorm_embedding)$/.test(path),
      norm: (values) => layerNormLayer(values, normEps),
      tied: tieWordEmbeddings ? ['lm_head', tokenTable] : null,
    }),
  layout: {
    ignored: /(^|\.)(encoder|decoder)\.embed_tokens\.weight$|^classification_head\.|^qa_outputs\./,
    zeros: /^final_logits_bias$/,
    prefix: 'model.',
    aliases: [[/^model\.shared\./, 'model.encoder.embed_tokens.']],
  },
  roles: [
    { role: 'query', name: 'q_proj' },
    { role: 'key', name: 'k_proj' },
    { role: 'value', name: 'v_proj' },
    { role: 'attn-out', name: 'out_proj' },
    { role: 'up', name: 'fc1' },
    { role: 'down', name: 'fc2' },
    { role: 'head', name: 'lm_head' },
    { role: 'head', name: 'classification_head.out_proj' },
    { role: 'head', name: 'qa_outputs' },
  ],
  defaultTargets: {
    adapterHubPrefix: ['model'],
    ...(record.stacks && {
      adapterHubProjections: ['q_proj', 'k_proj', 'v_proj'],
      adapterHubModules: ['attention_adapters', 'output_adapters'],
    }),
    ...record.targets,
  },
  heads: {
    seq2seqLM: languageHead(`${record.stem}ForConditionalGeneration`),
    sequenceClassifier: endHead(`${record.stem}ForSequenceClassification`, record.firstToken),
    questionAnswering: answerHead(`${record.stem}ForQuestionAnswering`, record.firstToken),
  },
  ...(record.stacks && {
    stacked: {
      modelClass: `${record.stem}AdapterModel`,
      tasks: ['sequenceClassifier', 'questionAnswering'],
      makes: ['decoderIds'],
      inputs: withDecoderIds(record.firstToken),
      row: (_, { main }, { ids }, config) => rowsAtEnds(main, ids!, config),
      pooler: null,
    },
  }),
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    const { encoderHeads, decoderHeads } = config;
    const heads = Math.min(encoderHeads, decoderHeads);
    return {
      ...config,
      layers,
      encoderLayers: layers,
      encoderInner: part(config.encoderInner),
      decoderInner: part(config.decoderInner),
      encoderHeads: heads,
      decoderHeads: heads,
      hiddenSize: heads * part(config.hiddenSize / heads),
      vocabSize: 1,
      tieWordEmbeddings: true,
    };
  },
});

/** BART. Lewis et al., 2019. https://arxiv.org/abs/1910.13461 */
export const bart: Family<BartConfig> = bartFamily({
  modelType: 'bart',
  stem: 'Bart',
  stacks: true,
  normFirst: false,
  startId: 2,
  firstToken: 'start',
  targets: {
    lora: ['q_proj', 'v_proj'],
    vblora: ['q_proj', 'k_proj', 'v_proj', 'out_proj', 'fc1', 'fc2'],
    ia3: ['q_proj', 'v_proj', 'fc2'],
    ia3Feedforward: ['fc2'],
    beft: ['v_proj'],
  },
});

/** mBART: a BART of many languages, with norms before each part. Liu et al., 2020. https://arxiv.org/abs/2001.08210; PEFT has no default targets for it. */
export const mbart: Family<BartConfig> = bartFamily({
  modelType: 'mbart',
  stem: 'MBart',
  normFirst: true,
  startId: null,
  firstToken: 'last',
  targets: { lora: ['q_proj', 'v_proj'], ia3: ['k_proj', 'v_proj', 'fc2'], ia3Feedforward: ['fc2'], beft: ['v_proj'] },
});
