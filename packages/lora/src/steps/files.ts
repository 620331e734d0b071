import type { AdapterConfig, JsonObject, MethodFiles } from '@peftjs/core';
import { fanInFanOut, notComputedInLora, refusedInLora } from '../peft-config.ts';
import { variantOf } from '../variant-of.ts';

/** The fields by which files say that LoRA was stepped in a way of its own, which Hugging Face PEFT passes over. */
const fields = ['loraplus_lr_ratio', 'lora_fa', 'lora_pro', 'riemannian_reg', 'l_lora'] as const;

/** Whether a file of LoRA says that it was stepped in a way of its own. */
export const isSteppedOtherwise = (config: AdapterConfig): boolean => fields.some((field) => config[field] != null);

/** Files of LoRA, for a method that only steps it in another way; the field says that it is this one, an option's or one of `more`. */
export const filesOfLora = <O>(field: (typeof fields)[number], more: JsonObject = {}): MethodFiles<O> => ({
  peftType: 'LORA',
  mixes: 'anywhere',
  reads: (config) => variantOf(config) === 'lora' && config[field] != null,
  computes: notComputedInLora,
  refuses: (config) => refusedInLora(config),
  config: (model) => ({ ...fanInFanOut(model), init_lora_weights: true, ...more }),
});
