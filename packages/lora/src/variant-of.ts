import { isObject, type JsonObject, type JsonValue } from '@peftjs/core';

const isGiven = (value: JsonValue | undefined): boolean => isObject(value) && Object.keys(value).length > 0;

/** The way that its first values were made, in lower case where it is a word, as Hugging Face PEFT takes it. */
export const startOf = ({ init_lora_weights: start = true }: JsonObject): JsonValue =>
  typeof start === 'string' ? start.toLowerCase() : start;

/** The functions that a configuration of LoRA's type may ask for, by the name of their method: the first that fits counts. */
const variants: Readonly<Record<string, (config: JsonObject) => boolean>> = {
  dora: (c) => c['use_dora'] === true,
  alora: (c) => Array.isArray(c['alora_invocation_tokens']),
  qalora: (c) => c['use_qalora'] === true,
  bdlora: (c) => isGiven(c['use_bdlora']),
  kasa: (c) => isGiven(c['kasa_config']),
  velora: (c) => isGiven(c['velora_config']),
  monteclora: (c) => isGiven(c['monteclora_config']),
  pissa: (c) => c['init_lora_weights'] === 'pissa',
  olora: (c) => startOf(c) === 'olora',
  mica: (c) => startOf(c) === 'mica',
};

/** The method of a configuration whose type is LoRA's. */
export const variantOf = (config: JsonObject): string =>
  Object.entries(variants).find(([, fits]) => fits(config))?.[0] ?? 'lora';
