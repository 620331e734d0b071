import type { JsonValue } from '@peftjs/core';

/** The layers that Hugging Face PEFT adapts when no target is given, by `model_type`. */
export const defaultTargets: Readonly<Record<string, readonly string[]>> = {
  llama: ['q_proj', 'v_proj'],
  gpt2: ['c_attn'],
};

/** What the configuration of a LoRA may hold that changes the function, with the only values that are computed here. */
export const notComputed: Readonly<Record<string, readonly JsonValue[]>> = {
  use_dora: [false],
  lora_bias: [false],
  bias: ['none'],
  modules_to_save: [],
  layer_replication: [],
  target_parameters: [],
  trainable_token_indices: [],
  alora_invocation_tokens: [],
  use_qalora: [false],
  layers_to_transform: [],
  exclude_modules: [],
  arrow_config: [],
  use_bdlora: [false],
  kasa_config: [],
  velora_config: [],
  monteclora_config: [],
};
