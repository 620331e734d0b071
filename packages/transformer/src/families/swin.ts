import { mean, PeftError } from '@peftjs/tensor';
import { layerNormLayer } from '../norm.ts';
import type { Family } from './family.ts';
import { layerNeeds } from './heads.ts';
import { partsOfTensors } from './parts-of.ts';
import type { SwinConfig } from './swin/config.ts';
import { swinConfigJson } from './swin/config-json.ts';
import { swinNeeds } from './swin/needs.ts';
import { blocksOf, embeddings } from './swin/record.ts';
import { swinTower } from './swin/tower.ts';
import { pictureRoles, pictureTargets } from './vit/record.ts';

const classifier = 'classifier';

/** The norms of embedded patches and of four rows together have an ε of their own. */
const ownEps = 1e-5;

/**
 * Swin: stages of blocks whose attention is within windows of patches, moved by half a window in every other block, with additions to scores by where patches lie from each other; between stages
 * four neighbours become one row, of twice the width. Input: `pixels` f32 [batch, channels, height, width], of the size that the model was trained with. The classifier reads the mean of the last rows. Paths are the
 * module paths of transformers 5; files have older names, and those are written. Rows in front (prompts) are refused, and the sites `heads` and `kv` have no paths, as windows hold patches alone.
 * Liu et al., 2021. https://arxiv.org/abs/2103.14030
 */
export const swin: Family<SwinConfig> = {
  modelType: 'swin',
  parser: async () => (await import('./swin/config.ts')).parseSwin,
  configJson: swinConfigJson,
  needs: swinNeeds,
  towers: (config) => [swinTower(config)],
  parts: (config, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [...(config.positions ? [embeddings.positions] : []), ...blocksOf(config).map((b) => b.relative)],
      isNorm: (path) => /(layernorm(_before|_after)?|\.norm)$/.test(path),
      norm: (values, path) => layerNormLayer(values, path.endsWith('.norm') ? ownEps : config.normEps),
      tied: null,
    }),
  layout: {
    // What is computed from sizes, the row that stands for hidden patches, and the head that tells their pixels.
    ignored: /\.relative_position_index$|(^|\.)embeddings\.mask_token$|^decoder\./,
    prefix: 'swin.',
    names: [
      [/\.attention\.q_proj\./, '.attention.self.query.'],
      [/\.attention\.k_proj\./, '.attention.self.key.'],
      [/\.attention\.v_proj\./, '.attention.self.value.'],
      [/\.attention\.o_proj\./, '.attention.output.dense.'],
      [/\.relative_position_bias\.relative_position_bias_table\.weight$/, '.self.relative_position_bias_table'],
      [/\.mlp\.fc1\./, '.intermediate.dense.'],
      [/\.mlp\.fc2\./, '.output.dense.'],
      [/\.position_embeddings\.weight$/, '.position_embeddings'],
    ],
    shapes: (name, shape, config) => {
      const { picture, patch } = config as SwinConfig;
      if (name === `${embeddings.patch}.weight`) return [shape[0]!, picture[0], ...patch];
      return name === `${embeddings.positions}.weight` ? [1, ...shape] : shape;
    },
  },
  roles: [...pictureRoles, { role: 'head', name: classifier }],
  defaultTargets: {
    ...pictureTargets,
    normAfterAttention: ['layernorm_after'],
  },
  heads: {
    imageClassifier: {
      modelClass: 'SwinForImageClassification',
      layer: classifier,
      trained: [classifier],
      needs: ({ hiddenSize }, labels) => new Map(layerNeeds(classifier, labels, hiddenSize, true)),
      features: (_, { main }) => mean(main, { axes: [1] }),
    },
  },
  narrow: () => {
    throw new PeftError(
      'bad-option',
      'swin: a side network beside stages of unlike width is not supported; use an adapter or lora',
    );
  },
};
