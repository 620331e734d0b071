import type { JsonObject, JsonValue } from '@peftjs/core';
import type { Model } from '@peftjs/transformer';

/** Whether transformers holds the weights of this model's layers as [in, out]. */
export const fanInFanOut = ({ linears, layout }: Model): JsonObject => ({
  fan_in_fan_out: [...linears.keys()].some((path) => layout.storedTransposed(path)),
});

/** Fields of any configuration that change the function, with the only values that are computed here. */
export const notComputed: Readonly<Record<string, readonly JsonValue[]>> = {
  modules_to_save: [],
  layers_to_transform: [],
  exclude_modules: [],
};

/** The same of a configuration of LoRA's kind. */
export const notComputedInLora: Readonly<Record<string, readonly JsonValue[]>> = {
  ...notComputed,
  lora_bias: [false],
  layer_replication: [],
  target_parameters: [],
  trainable_token_indices: [],
  alora_invocation_tokens: [],
  use_qalora: [false],
  arrow_config: [],
  use_bdlora: [false],
  kasa_config: [],
  velora_config: [],
  monteclora_config: [],
};
