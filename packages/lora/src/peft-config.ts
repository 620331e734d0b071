import type { JsonObject, JsonValue } from '@peftjs/core';
import type { Model } from '@peftjs/transformer';

/** Whether transformers holds the weights of this model's layers as [in, out]. */
export const fanInFanOut = ({ linears, layout }: Model): JsonObject => ({
  fan_in_fan_out: [...linears.keys()].some((path) => layout.storedTransposed(path)),
});

/** Fields of a configuration of LoRA's kind that change the function, with the only values that are computed here. */
export const notComputedInLora: Readonly<Record<string, readonly JsonValue[]>> = {
  lora_bias: [false],
  layer_replication: [],
  target_parameters: [],
  ensure_weight_tying: [false],
  alora_invocation_tokens: [],
  use_qalora: [false],
  arrow_config: [],
  use_bdlora: [false],
  kasa_config: [],
  velora_config: [],
  monteclora_config: [],
};

/** Ways to begin that leave the base as it is, so that a file says nothing else by them. */
const safeStarts: readonly JsonValue[] = [true, false, 'gaussian', 'orthogonal', 'eva', 'mica'];

/** The reason that a file whose first values were taken out of the base's weights is not read; null where it is. */
export const changedBase = ({ init_lora_weights: start = true }: JsonObject): string | null => {
  const name = typeof start === 'string' ? start.toLowerCase() : start;
  if (start === null || safeStarts.includes(name)) return null;
  return `init_lora_weights is ${JSON.stringify(start)}, which took its first values out of the base's weights, so the adapter fits another base than this one; save it from Hugging Face PEFT with path_initial_model_for_weight_conversion, which makes an ordinary LoRA of it`;
};
