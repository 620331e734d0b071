import type { Family } from './family.ts';
import type { VitConfig } from './vit/config.ts';
import { vitFamily } from './vit/family.ts';
import { attentionNames } from './vit/record.ts';

/**
 * DINOv2: a ViT with learned factors of what attention and the MLP give; its classifier reads the class's row beside the mean of the patches'. Positions are
 * interpolated for pictures of other sizes than it was trained with. The giant one, whose MLP is gated, is refused. Oquab et al., 2023.
 * https://arxiv.org/abs/2304.07193
 */
export const dinov2: Family<VitConfig> = vitFamily({
  modelType: 'dinov2',
  stem: 'Dinov2',
  prefix: 'dinov2',
  defaults: { mlp_ratio: 4, layer_norm_eps: 1e-6, patch_size: 14 },
  extra: ['cls_token'],
  block: (index) => {
    const path = `dinov2.encoder.layer.${index}`;
    return {
      block: path,
      attn: `${path}.attention`,
      mlp: `${path}.mlp`,
      norms: [`${path}.norm1`, `${path}.norm2`],
      scales: [`${path}.layer_scale1`, `${path}.layer_scale2`],
    };
  },
  names: [...attentionNames, [/\.layer_scale(\d)\.weight$/, '.layer_scale$1.lambda1']],
  interpolates: true,
  withMean: true,
});
