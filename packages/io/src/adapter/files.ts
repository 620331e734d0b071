import type { JsonObject } from '../json.ts';

/** Whose files an adapter folder holds: those of huggingface/peft or of adapter-hub/adapters. */
export type AdapterLayout = 'peft' | 'adapter-hub';

/** The weights of an adapter folder as huggingface/peft names them. */
export const weightsFile = 'adapter_model.safetensors';

/** The same by `torch.save`, as it wrote them before safetensors. */
export const torchWeightsFile = 'adapter_model.bin';

/** In both layouts. Written last and read first: a folder without it does not count as an adapter. */
export const configFile = 'adapter_config.json';

/** The fields that every adapter's config has, and the raw ones of the method, which each method checks for itself. */
export interface AdapterFileConfig {
  /** As the layout names it: PEFT's `LORA`; the `architecture` of adapter-hub, where `bottleneck` has none. */
  readonly method: string;
  /** The task that the model was tuned for, such as `CAUSAL_LM`. */
  readonly taskType: string | null;
  /** Name or folder of the model that the adapter belongs to. */
  readonly baseModel: string | null;
  /** The content of `adapter_config.json`; of its field `config` in the layout of adapter-hub. */
  readonly raw: JsonObject;
}

/** A field that is a text or absent; what else it is goes to `problems`. */
export const textOf = (raw: JsonObject, key: string, problems: string[]): string | null => {
  const value = raw[key] ?? null;
  if (value === null || typeof value === 'string') return value;
  problems.push(`${key} is ${JSON.stringify(value)}, not a text`);
  return null;
};

/** The common fields of a config of huggingface/peft, or undefined with what is wrong in `problems`. */
export const parsePeftConfig = (raw: JsonObject, problems: string[]): AdapterFileConfig | undefined => {
  const text = (key: string): string | null => textOf(raw, key, problems);
  const [method, taskType, baseModel] = [text('peft_type'), text('task_type'), text('base_model_name_or_path')];
  if (!method && problems.length === 0) problems.push('peft_type is missing; it names the method, such as "LORA"');
  return method && problems.length === 0 ? { method, taskType, baseModel, raw } : undefined;
};
