import { defineMethod, eachLinear, familyTarget, type MethodCard, type MethodFactory, targets } from '@peftjs/core';
import { type LoraOptions, loraOptions } from '../low-rank.ts';
import { variantConfig, variantFiles } from '../variant-files.ts';
import { begunWith } from './begun-with.ts';
import { halves } from './halves.ts';
import { ordinary } from './ordinary.ts';

/** The method of a start that the base's weights alone decide. */
export const principalLora = (name: 'pissa' | 'olora', card: MethodCard): MethodFactory<LoraOptions> => {
  const factory: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
    name,
    formula: {
      merges: true,
      options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
      compact: (model, options, state, on) => ordinary(model, factory(options), state, on),
      attach: (model, scope, options) =>
        eachLinear(model, scope, options.target, name, (base, own, path) =>
          begunWith(name, base, own, path, options, (rank, scale) =>
            halves(async (compute) => {
              const { principalOf } = await import('../algebra/principal.ts'); // with ml-matrix, which few need
              return principalOf(name, base, rank, scale, compute);
            }),
          ),
        ),
    },
    files: {
      ...variantFiles(name, 'init_lora_weights'),
      config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: name }),
    },
    card,
  });
  return factory;
};
