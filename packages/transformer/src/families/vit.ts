import type { Family } from './family.ts';
import type { VitConfig } from './vit/config.ts';
import { vitFamily } from './vit/family.ts';
import { attentionNames, type BlockPaths, type VitRecord } from './vit/record.ts';

const block =
  (prefix: string) =>
  (index: number): BlockPaths => {
    const path = `${prefix}.layers.${index}`;
    return {
      block: path,
      attn: `${path}.attention`,
      mlp: `${path}.mlp`,
      norms: [`${path}.layernorm_before`, `${path}.layernorm_after`],
      scales: null,
    };
  };

const names: VitRecord['names'] = [
  ...attentionNames,
  [/^(vit|deit)\.layers\.(\d+)\.mlp\.fc1\./, '$1.layers.$2.intermediate.dense.'],
  [/^(vit|deit)\.layers\.(\d+)\.mlp\.fc2\./, '$1.layers.$2.output.dense.'],
  [/^(vit|deit)\.layers\./, '$1.encoder.layer.'],
];

/** ViT: patches and a class's row, learned positions. Dosovitskiy et al., 2020. https://arxiv.org/abs/2010.11929 */
export const vit: Family<VitConfig> = vitFamily({
  modelType: 'vit',
  stacks: true,
  stem: 'ViT',
  prefix: 'vit',
  defaults: {},
  extra: ['cls_token'],
  block: block('vit'),
  names,
  interpolates: false,
  withMean: false,
});

/** DeiT: a ViT with one more row, for a teacher; its classifier reads the class's alone. Touvron et al., 2020. https://arxiv.org/abs/2012.12877 */
export const deit: Family<VitConfig> = vitFamily({
  modelType: 'deit',
  stem: 'DeiT',
  prefix: 'deit',
  defaults: {},
  extra: ['cls_token', 'distillation_token'],
  block: block('deit'),
  names,
  interpolates: false,
  withMean: false,
});
