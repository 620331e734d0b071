import { defineMethod, eachLinear, familyTarget, type MethodFactory, targets, zeros } from '@peftjs/core';
import { matmul, mul } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { type LoraOptions, loraOptions, rankAndScaleOf } from '../low-rank.ts';
import { variantConfig, variantFiles } from '../variant-files.ts';
import { requireRank } from './begun-with.ts';
import { halves } from './halves.ts';

/**
 * MiCA: y = Wx + (alpha/r)·B·A·dropout(x), where B is frozen, the left singular vectors of W's r smallest singular values, and A is trained from zero, so that W's principal directions stay. B is
 * found by a decomposition of the whole weight in f64 on the host (up to a minute at a side of 768, eight times that at twice the side), and saved. The files are LoRA's. Merges. Throws as `lora`, and `bad-option` for ranks above a weight's.
 * Rüdiger & Raschka, 2026. https://arxiv.org/abs/2604.01694
 */
export const mica: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'mica',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'mica', (base, own, path) => {
        const { inDim, outDim } = base;
        const { rank, scale } = rankAndScaleOf(path, options);
        requireRank('mica', path, base, rank);
        const first = halves(async (compute) => {
          const { minorOf } = await import('../algebra/minor.ts'); // with ml-matrix, which few need
          return minorOf(base, rank, compute, 'directions');
        });
        const a = own.param('lora_A.weight', [rank, inDim], zeros);
        const b = own.buffer('lora_B.weight', [outDim, rank], first('b'));
        return addDelta(base, {
          apply: (x) =>
            matmul(mul(matmul(own.dropout(x, options.dropout), a, { transposeB: true }), scale), b, {
              transposeB: true,
            }),
          dense: () => mul(matmul(b, a), scale),
        });
      }),
  },
  files: {
    ...variantFiles('mica', 'init_lora_weights'),
    config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: 'mica' }),
  },
  card: {
    about: 'low-rank updates along the least singular vectors',
    paper: {
      authors: 'Rüdiger & Raschka',
      year: 2026,
      title: 'MiCA Learns More Knowledge Than LoRA and Full Fine-Tuning',
      url: 'https://arxiv.org/abs/2604.01694',
    },
    learningRate: 2e-3,
    narrowRate: 1e-2,
  },
});
