import type { Family } from './family.ts';
import type { VitConfig } from './vit/config.ts';
import { vitFamily } from './vit/family.ts';
import { attentionNames } from './vit/record.ts';

/**
 * BEiT: a ViT whose scores have additions by where patches lie from each other, with learned factors of what attention and the MLP give; its classifier reads the normalised mean of the
 * patches. Pictures are of the size that it was trained with. Bao et al., 2021. https://arxiv.org/abs/2106.08254
 */
export const beit: Family<VitConfig> = vitFamily({
  modelType: 'beit',
  stem: 'Beit',
  prefix: 'beit',
  defaults: {},
  extra: ['cls_token'],
  block: (index) => {
    const path = `beit.layers.${index}`;
    return {
      block: path,
      attn: `${path}.attention`,
      mlp: `${path}.mlp`,
      norms: [`${path}.layernorm_before`, `${path}.layernorm_after`],
      scales: [`${path}.lambda_1`, `${path}.lambda_2`],
      relative: `${path}.relative_position_bias.relative_position_bias_table`,
    };
  },
  names: [
    ...attentionNames,
    [
      /\.relative_position_bias\.relative_position_bias_table\.weight$/,
      '.attention.attention.relative_position_bias.relative_position_bias_table',
    ],
    [/^beit\.shared_position_bias\.(\w+)\.weight$/, 'beit.encoder.relative_position_bias.$1'],
    [/\.(lambda_[12])\.weight$/, '.$1'],
    [/^beit\.layers\.(\d+)\.mlp\.fc1\./, 'beit.layers.$1.intermediate.dense.'],
    [/^beit\.layers\.(\d+)\.mlp\.fc2\./, 'beit.layers.$1.output.dense.'],
    [/^beit\.layers\./, 'beit.encoder.layer.'],
  ],
  // Beside a pooler's, what is computed from sizes, and the head that tells hidden patches.
  ignored: /(^|\.)(pooler\.|embeddings\.mask_token$)|\.relative_position_index$|^(lm_head|layernorm)\./,
  interpolates: false,
  withMean: false,
  isBeit: true,
});
