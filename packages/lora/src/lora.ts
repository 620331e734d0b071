import { defineMethod, eachLayer, type MethodFactory } from '@peftjs/core';
import { adapterHubLora } from './adapter-hub-lora/adapter-hub-lora.ts';
import { addDelta } from './add-delta.ts';
import { embeddingDelta } from './embedding-delta.ts';
import { type BiasedLoraOptions, loraBias, outputBias, requireNoBias } from './lora-bias.ts';
import { loraOptions, lowRank, rankAndScaleOf } from './low-rank.ts';
import { fanInFanOut, notComputedInLora, refusedInLora } from './peft-config.ts';
import { firstValues, loraInit } from './starts/first-values.ts';
import { isSteppedOtherwise } from './steps/files.ts';
import { variantOf } from './variant-of.ts';

/**
 * LoRA: y = Wx + (alpha/r)·B·A·dropout(x), A of shape [rank, in] from U(−1/√in, 1/√in), B of shape [out, rank] zero at the start; W is frozen.
 * The product BA is never formed in a training step. Merges. Throws `bad-option`, and when attached `no-match`.
 * Hu et al., 2021. https://arxiv.org/abs/2106.09685
 */
export const lora: MethodFactory<BiasedLoraOptions> = defineMethod<BiasedLoraOptions>({
  name: 'lora',
  formula: {
    merges: true,
    options: { ...loraOptions, loraBias, init: loraInit },
    attach: (model, scope, options) =>
      eachLayer(model, scope, options.target, 'lora', {
        linear: (base, own, path) => {
          const first = firstValues(options.init, path, rankAndScaleOf(path, options).rank);
          return outputBias(addDelta(base, lowRank(base, own, path, options, first)), own, path, options);
        },
        embedding: (base, own, path) => embeddingDelta(base, own, path, requireNoBias(path, options)),
      }),
  },
  files: {
    peftType: 'LORA',
    mixes: 'anywhere',
    reads: (config) => variantOf(config) === 'lora' && !isSteppedOtherwise(config),
    also: adapterHubLora,
    computes: { ...notComputedInLora, lora_bias: [true, false] },
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...fanInFanOut(model), init_lora_weights: true }),
  },
  card: {
    about: 'low-rank updates of weights',
    paper: adapterHubLora.paper,
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
