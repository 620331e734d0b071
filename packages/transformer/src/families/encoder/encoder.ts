import type { Shape } from '@peftjs/tensor';
import { layerNormLayer } from '../../norm.ts';
import { firstRow } from '../../pooling.ts';
import type { Family } from '../family.ts';
import { tokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { EncoderConfig } from './config.ts';
import { encoderConfigJson } from './config-json.ts';
import { maskedHead, pooledHead, summaryHead } from './heads.ts';
import { encoderNeeds } from './needs.ts';
import { type EncoderRecord, embeddingPaths } from './record.ts';
import { encoderTower } from './tower.ts';

const neverRead = /(^|\.)position_ids$/;

/**
 * The family of a record: encoders that attend to all, with learned positions and a LayerNorm after each residual sum. Input `tokenTypes` i32
 * [batch, tokens], default all 0, where a family has types. Paths are Hugging Face's module paths. Dropout of the base is off, as in every
 * family. Building throws `bad-config` where the heads do not make the width.
 */
export const encoder = <C extends EncoderConfig = EncoderConfig>(record: EncoderRecord): Family<C> => {
  const { token, position, type } = embeddingPaths(record);
  const { relativeBias, convolution, pooled, choice = pooled, summary, masked, ignored, stacks } = record;
  const { disentangled: apart } = record;
  const { block, attnNorm, fused } = record.block(0);
  /** A row that is added to queries or values, which files have as a vector. */
  const isAdded = (name: string): boolean => fused !== undefined && /\.[qv]_bias\.weight$/.test(name);
  return {
    modelType: record.modelType,
    parser: async () => {
      const { parseEncoder } = await import('./config.ts');
      return (json, problems) => parseEncoder(record, json, problems) as C | undefined;
    },
    ...(apart && { reads: ['relative_attention'] }),
    configJson: (config) => encoderConfigJson(record, config),
    needs: (config) => encoderNeeds(record, config),
    towers: (config) => [encoderTower(record, config)],
    parts: ({ normEps, tieWordEmbeddings }, tensors) =>
      partsOfTensors(tensors, {
        embeddings: [
          token,
          position,
          type,
          ...(relativeBias ? [relativeBias.table] : []),
          ...(apart ? [apart.table] : []),
          ...[...tensors.keys()].filter(isAdded).map((name) => name.replace(/\.weight$/, '')),
        ],
        isNorm: (path) => /(LayerNorm|layer_norm)$/.test(path),
        norm: (values) => layerNormLayer(values, normEps),
        tied: tieWordEmbeddings && tensors.has(`${masked.decoder}.bias`) ? [masked.decoder, token] : null,
      }),
    layout: {
      ignored: ignored ? new RegExp(`${neverRead.source}|${ignored.source}`) : neverRead,
      prefix: `${record.prefix}.`,
      ...(fused && { names: [[/\.([qv]_bias)\.weight$/, '.$1']] }),
      shapes: (name: string, shape: Shape): Shape => {
        if (name !== `${convolution?.layer}.weight`) return isAdded(name) ? shape.slice(1) : shape;
        const [d] = shape as readonly [number, number];
        return [d, d, shape[1]! / d];
      },
      aliases: [
        [/LayerNorm\.weight$/, 'LayerNorm.gamma'],
        [/LayerNorm\.bias$/, 'LayerNorm.beta'],
        [/decoder\.bias$/, 'bias'],
      ],
    },
    roles: [
      ...record.roles,
      { role: 'head', name: record.pooled.classifier },
      { role: 'head', name: 'classifier' },
      { role: 'head', name: 'qa_outputs' },
      { role: 'head', name: masked.decoder },
    ],
    defaultTargets: { normAfterAttention: [attnNorm.slice(block.length + 1)], ...record.targets },
    heads: {
      maskedLM: maskedHead(record),
      sequenceClassifier: pooledHead(`${record.stem}ForSequenceClassification`, pooled),
      tokenClassifier: tokenHead(`${record.stem}ForTokenClassification`, 'classifier'),
      questionAnswering: tokenHead(`${record.stem}ForQuestionAnswering`, 'qa_outputs'),
      ...(summary !== undefined && {
        multipleChoice: summaryHead(`${record.stem}ForMultipleChoice`, summary),
      }),
      ...(choice && { multipleChoice: pooledHead(`${record.stem}ForMultipleChoice`, choice) }),
    },
    ...(stacks && {
      stacked: {
        modelClass: `${record.stem}AdapterModel`,
        tasks: ['sequenceClassifier', 'tokenClassifier', 'questionAnswering', 'multipleChoice'],
        row: (_, { rows }) => firstRow(rows),
        pooler: [pooled, choice].find((one) => one?.dense.startsWith(`${record.prefix}.`)) ?? null,
      },
    }),
    narrow: (whole, reduction, layers) => {
      const { embeddingSize: _, groups: __, convolution: ___, ...config }: EncoderConfig = whole;
      const part = (size: number): number => Math.max(1, Math.round(size / reduction));
      const headDim = part(config.hiddenSize / config.heads);
      const narrow: EncoderConfig = {
        ...config,
        layers,
        intermediateSize: part(config.intermediateSize),
        vocabSize: 1,
        tieWordEmbeddings: true,
        hiddenSize: config.heads * headDim,
        headDim,
      };
      return narrow as C;
    },
  };
};
