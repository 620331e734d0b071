import type { MethodFiles } from '@peftjs/core';
import { fanInFanOut, notComputedInLora, refusedInLora } from './peft-config.ts';
import { variantOf } from './variant-of.ts';

/** The files of a variant: LoRA's, with a field of its own in the configuration. */
export const variantFiles = (name: string, field: string): Omit<MethodFiles<never>, 'config' | 'mixes'> => ({
  peftType: 'LORA',
  reads: (config) => variantOf(config) === name,
  computes: Object.fromEntries(Object.entries(notComputedInLora).filter(([key]) => key !== field)),
  refuses: (config) => refusedInLora(config, field === 'init_lora_weights' ? [name] : []),
});

/** The fields that every configuration of LoRA's type has beside the options. */
export const variantConfig: NonNullable<MethodFiles<never>['config']> = (model) => ({
  ...fanInFanOut(model),
  init_lora_weights: true,
});
