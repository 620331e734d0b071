import { concat, mean, slice, type Tensor } from '@peftjs/tensor';
import { layerNormLayer } from '../../norm.ts';
import { firstRow } from '../../pooling.ts';
import type { Family, HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { VitConfig } from './config.ts';
import { vitConfigJson } from './config-json.ts';
import { normNeeds, vitNeeds } from './needs.ts';
import {
  blocksOf,
  extraRows,
  hasPositions,
  patchLayer,
  pictureRoles,
  pictureTargets,
  positionTable,
  relativeTables,
  type VitRecord,
} from './record.ts';
import { vitTower } from './tower.ts';

const classifier = 'classifier';

const pooledNorm = (prefix: string): string => `${prefix}.pooler.layernorm`;

/** A layer over the row of the class, and the mean of the patches' beside it; of BEiT over that mean, normalised, in its place. */
const pictureHead = ({ stem, prefix, withMean, extra }: VitRecord): HeadSpec<VitConfig> => ({
  modelClass: `${stem}ForImageClassification`,
  layer: classifier,
  trained: [classifier],
  needs: ({ hiddenSize, beit }, labels) =>
    new Map([
      ...(beit?.meanPooling ? normNeeds(pooledNorm(prefix), hiddenSize) : []),
      ...layerNeeds(classifier, labels, withMean ? 2 * hiddenSize : hiddenSize, true),
    ]),
  features: ({ norms }, { main, call }, _, { beit }) => {
    const first = firstRow(main);
    if (!withMean && !beit?.meanPooling) return first;
    const patches: Tensor = slice(main, { axis: 1, start: extra.length, end: main.shape[1]! });
    const middle = mean(patches, { axes: [1] });
    if (withMean) return concat(first, middle, { axis: 1 });
    const path = pooledNorm(prefix);
    return norms.get(path)!.apply(middle, call(path));
  },
});

/**
 * The family of a record. Input: `pixels` f32 [batch, channels, height, width], of the size that the model was trained with, or of any where the record says so. A patch's row is a linear
 * map of its pixels: what files hold as a convolution. Paths are the module paths of transformers 5; files have older names, and those are written.
 * Dropout and dropped paths of the base are off, as in every family.
 */
export const vitFamily = (record: VitRecord): Family<VitConfig> => {
  const { prefix, block } = record;
  const patches = patchLayer(record);
  const tables = (config: VitConfig): readonly string[] => [
    ...extraRows(record),
    ...(hasPositions(config) ? [positionTable(record)] : []),
    ...relativeTables(record, config),
    ...blocksOf(record, config).flatMap(({ scales }) => scales ?? []),
  ];
  return {
    modelType: record.modelType,
    parser: async () => {
      const { parseVit } = await import('./config.ts');
      return (json, problems) => parseVit(record, json, problems);
    },
    configJson: (config) => vitConfigJson(record, config),
    needs: (config) => vitNeeds(record, config),
    towers: (config) => [vitTower(record, config)],
    parts: (config, tensors) =>
      partsOfTensors(tensors, {
        embeddings: tables(config),
        isNorm: (path) => /(layernorm(_before|_after)?|norm[12])$/.test(path),
        norm: (values) => layerNormLayer(values, config.normEps),
        tied: null,
      }),
    layout: {
      ignored: record.ignored ?? /(^|\.)(pooler\.|embeddings\.mask_token$)|^decoder\.\d/,
      prefix: `${prefix}.`,
      names: record.names,
      shapes: (name, shape, config) => {
        const { picture, patch } = config as VitConfig;
        if (name === `${patches}.weight`) return [shape[0]!, picture[0], ...patch];
        if (/\.(cls_token|distillation_token|position_embeddings)\.weight$/.test(name)) return [1, ...shape];
        return /(layer_scale|lambda_)\d\.weight$/.test(name) ? [shape[1]!] : shape;
      },
    },
    roles: [...pictureRoles, { role: 'head', name: classifier }],
    defaultTargets: {
      ...pictureTargets,
      ...(record.stacks && {
        adapterHubPrefix: [prefix],
        adapterHubProjections: ['q_proj', 'k_proj', 'v_proj'],
        adapterHubModules: ['attention_adapters', 'output.output_adapters'],
      }),
      normAfterAttention: [block(0).norms[1].slice(block(0).block.length + 1)],
    },
    heads: { imageClassifier: pictureHead(record) },
    ...(record.stacks && {
      stacked: {
        modelClass: `${record.stem}AdapterModel`,
        tasks: ['imageClassifier'],
        row: (_, { main }) => firstRow(main),
        pooler: { dense: `${prefix}.pooler.dense`, activation: 'tanh' },
      },
    }),
    narrow: (config, reduction, layers) => {
      const part = (size: number): number => Math.max(1, Math.round(size / reduction));
      return {
        ...config,
        layers,
        intermediateSize: part(config.intermediateSize),
        hiddenSize: config.heads * part(config.hiddenSize / config.heads),
      };
    },
  };
};
