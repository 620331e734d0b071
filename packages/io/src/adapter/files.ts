import type { JsonObject } from '../json.ts';

/** The files of an adapter folder as huggingface/peft names them. */
export const weightsFile = 'adapter_model.safetensors';

/** Written last and read first: a folder without it does not count as an adapter. */
export const configFile = 'adapter_config.json';

/** What every adapter's config tells, and all of it as the file holds it; each method checks its own fields. */
export interface AdapterConfig {
  /** The method, such as `LORA`. */
  readonly peftType: string;
  /** What the model was tuned for, such as `CAUSAL_LM`. */
  readonly taskType: string | null;
  /** Name or folder of the model that the adapter belongs to. */
  readonly baseModel: string | null;
  readonly raw: JsonObject;
}

/** The common fields of a config, or undefined with what is wrong in `problems`. */
export const parseAdapterConfig = (raw: JsonObject, problems: string[]): AdapterConfig | undefined => {
  const text = (key: string): string | null => {
    const value = raw[key] ?? null;
    if (value === null || typeof value === 'string') return value;
    problems.push(`${key} is ${JSON.stringify(value)}, not a text`);
    return null;
  };
  const [peftType, taskType, baseModel] = [text('peft_type'), text('task_type'), text('base_model_name_or_path')];
  if (!peftType && problems.length === 0) problems.push('peft_type is missing; it names the method, such as "LORA"');
  return peftType && problems.length === 0 ? { peftType, taskType, baseModel, raw } : undefined;
};
