import { defineMethod, eachLayer, type MethodFactory, mergePatches } from '@peftjs/core';
import { adapterHubLora } from './adapter-hub-lora/adapter-hub-lora.ts';
import { addDelta } from './add-delta.ts';
import { embeddingDelta } from './embedding-delta.ts';
import { parameterDeltas, targetParameters } from './expert-delta.ts';
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
    options: { ...loraOptions, loraBias, targetParameters, init: loraInit },
    check: ({ targetParameters: names = [], dropout = 0, loraBias: biased = false, init = 'uniform' }) => {
      if (names.length === 0 || (dropout === 0 && !biased && init === 'uniform')) return null;
      return 'targetParameters takes no dropout, loraBias or init beside it, as Hugging Face PEFT has it';
    },
    attach: (model, scope, options) => {
      const paths = options.target as readonly string[];
      const layers =
        paths.length === 0
          ? {}
          : eachLayer(model, scope, paths, 'lora', {
              linear: (base, own, path) => {
                const first = firstValues(options.init, path, rankAndScaleOf(path, options).rank);
                return outputBias(addDelta(base, lowRank(base, own, path, options, first)), own, path, options);
              },
              embedding: (base, own, path) => embeddingDelta(base, own, path, requireNoBias(path, options)),
            });
      if (options.targetParameters.length === 0) return layers;
      return mergePatches([layers, parameterDeltas(model, scope, options.targetParameters, options, paths)]);
    },
  },
  files: {
    peftType: 'LORA',
    mixes: 'anywhere',
    reads: (config) => variantOf(config) === 'lora' && !isSteppedOtherwise(config),
    also: adapterHubLora,
    computes: { ...notComputedInLora, lora_bias: [true, false] },
    refuses: (config) => refusedInLora({ ...config, target_parameters: null }),
    config: (model) => ({ ...fanInFanOut(model), init_lora_weights: true }),
  },
  card: {
    about: 'low-rank updates of weights',
    paper: adapterHubLora.paper,
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
