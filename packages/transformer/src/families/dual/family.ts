import { mean, slice } from '@peftjs/tensor';
import { layerNormLayer } from '../../norm.ts';
import type { Family, HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { DualConfig, SideConfig } from './config.ts';
import { dualConfigJson } from './config-json.ts';
import { dualNeeds } from './needs.ts';
import { type DualRecord, dualPaths } from './record.ts';
import { textTower, visionTower } from './tower.ts';

const narrowSide = <S extends SideConfig>(side: S, reduction: number, layers: number): S => {
  const part = (size: number): number => Math.max(1, Math.round(size / reduction));
  return {
    ...side,
    layers,
    intermediateSize: part(side.intermediateSize),
    hiddenSize: side.heads * part(side.hiddenSize / side.heads),
  };
};

const classifier = 'classifier';

/** A layer over the mean of the patches, without the class's row: the tower of pictures alone, whose file keeps what it pools with. `CLIPForImageClassification`. */
const patchesHead = ({ stem, classRow, head }: DualRecord): HeadSpec<DualConfig> => ({
  modelClass: `${stem}ForImageClassification`,
  layer: classifier,
  trained: [classifier],
  needs: (config, labels) =>
    new Map([...head.pictureNeeds(config), ...layerNeeds(classifier, labels, config.vision.hiddenSize, true)]),
  towersOf: (config) => ({ ...config, only: 'vision' }),
  features: (_, { main }) =>
    mean(slice(main, { axis: 1, start: Number(classRow), end: main.shape[1]! }), { axes: [1] }),
});

/**
 * The family of a record: towers side by side, of which those run whose input is given. Inputs: `ids` and `mask` of texts, `pixels` f32 [batch, channels,
 * height, width] of the size that the model was trained with; there may be more of the ones than of the others. Paths are Hugging Face's module
 * paths. Dropout of the base is off, as in every family.
 */
export const dualFamily = (record: DualRecord): Family<DualConfig> => {
  const at = dualPaths;
  const { head } = record;
  const tables: readonly string[] = [
    ...[at.tokens, at.textPositions, at.classRow, at.picturePositions],
    ...head.tables,
  ];
  return {
    modelType: record.modelType,
    parser: async () => {
      const { parseDual } = await import('./config.ts');
      return (json, problems) => parseDual(record, json, problems);
    },
    configJson: (config) => dualConfigJson(record, config),
    needs: (config) => dualNeeds(record, config),
    towers: (config) =>
      config.only ? [visionTower(record, config)] : [textTower(record, config), visionTower(record, config)],
    parts: ({ text, vision }, tensors) =>
      partsOfTensors(tensors, {
        embeddings: tables,
        isNorm: (path) => /(layer_norm\d?|layrnorm|layernorm)$/.test(path),
        norm: (values, path) => layerNormLayer(values, (path.startsWith('text_model.') ? text : vision).normEps),
        tied: null,
      }),
    layout: {
      ignored: /\.position_ids$/,
      names: [[/\.class_embedding\.weight$/, '.class_embedding'], ...head.names],
      shapes: (name, shape, config) => {
        const { picture, patch } = (config as DualConfig).vision;
        if (name === `${at.patches}.weight`) return [shape[0]!, picture[0], patch, patch];
        if (name === `${at.classRow}.weight`) return [shape[1]!];
        return head.shapes[name]?.(shape.at(-1)!) ?? shape;
      },
    },
    roles: [
      { role: 'query', name: 'q_proj' },
      { role: 'key', name: 'k_proj' },
      { role: 'value', name: 'v_proj' },
      { role: 'attn-out', name: 'out_proj' },
      { role: 'up', name: 'fc1' },
      { role: 'down', name: 'fc2' },
      { role: 'patch', name: 'patch_embedding' },
      ...head.roles,
      { role: 'head', name: classifier },
    ],
    defaultTargets: {
      lora: ['q_proj', 'v_proj'],
      ia3: ['k_proj', 'v_proj', 'fc2'],
      ia3Feedforward: ['fc2'],
      normAfterAttention: ['layer_norm2'],
      ...record.targets,
    },
    heads: {
      imageText: {
        modelClass: `${record.stem}Model`,
        layer: '',
        trained: [],
        needs: () => new Map(),
        features: (_, { main }) => main,
        pair: head.pair,
        pairSize: ({ projection }) => projection,
      },
      imageClassifier: patchesHead(record),
    },
    narrow: (config, reduction, layers) => {
      const vision = narrowSide(config.vision, reduction, layers);
      return {
        ...config,
        layers,
        text: narrowSide(config.text, reduction, layers),
        vision,
        hiddenSize: vision.hiddenSize,
        projection: Math.max(1, Math.round(config.projection / reduction)),
        vocabSize: 1,
      };
    },
  };
};
