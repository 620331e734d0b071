import type { JsonObject, JsonValue } from '@peftjs/core';
import type { CausalLM } from '@peftjs/transformer';

/** The layers that Hugging Face PEFT adapts when no target is given, by `model_type`. */
export const defaultTargets: Readonly<Record<string, readonly string[]>> = {
  llama: ['q_proj', 'v_proj'],
  gpt2: ['c_attn'],
};

/** Whether transformers holds this model's weights as [in, out]. */
export const fanInFanOut = ({ config: { modelType } }: CausalLM): JsonObject => ({
  fan_in_fan_out: modelType === 'gpt2',
});

/** What any configuration may hold that changes the function, with the only values that are computed here. */
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
