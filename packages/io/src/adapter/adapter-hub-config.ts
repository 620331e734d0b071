import { isObject, type JsonObject } from '../json.ts';
import { type AdapterFileConfig, textOf } from './files.ts';

/** The weights of an adapter folder as adapter-hub/adapters names them. */
export const adapterHubWeightsFile = 'adapter.safetensors';

/** The same by `torch.save`, which is that library's default. */
export const adapterHubTorchWeightsFile = 'pytorch_adapter.bin';

/** The model of an adapter as adapter-hub/adapters describes it; its loader does not depend on it. */
export interface AdapterHubModel {
  readonly modelType: string;
  readonly hiddenSize: number;
  /** `LlamaForCausalLM` */
  readonly modelClass: string | null;
  /** Name or folder. */
  readonly name: string | null;
}

/** An `adapter_config.json` of adapter-hub/adapters. */
export interface AdapterHubConfig extends AdapterFileConfig {
  /** The adapter's, which stands in the names of its tensors too. */
  readonly name: string;
}

/** Whether a text may name an adapter: it becomes a part of tensors' names and of a folder's. */
export const isAdapterName = (name: unknown): name is string =>
  typeof name === 'string' && /^[\p{L}\p{N}_ +@-]{1,100}$/u.test(name);

/** An `adapter_config.json` of adapter-hub/adapters as read, or undefined with its faults in `problems`. */
export const parseAdapterHubConfig = (raw: JsonObject, problems: string[]): AdapterHubConfig | undefined => {
  const config = raw['config'];
  const baseModel = textOf(raw, 'model_name', problems);
  const name = raw['name'];
  if (!isAdapterName(name)) problems.push(`name is ${JSON.stringify(name)}, not the name of an adapter`);
  if (!isObject(config)) problems.push('config is not an object; it describes the method');
  if (!isObject(config) || !isAdapterName(name)) return undefined;
  const method = textOf(config as JsonObject, 'architecture', problems) ?? 'bottleneck';
  return problems.length > 0 ? undefined : { method, taskType: null, baseModel, raw: config as JsonObject, name };
};

/** The files' version, which the library's loader looks at. */
export const adapterHubVersion = 'adapters.1.3.0';

/** The library tells a constant from a mode by whether it is a float. */
export const adapterHubFloats: readonly string[] = ['scaling'];

/** The content of an `adapter_config.json`, or of the same for a fusion. */
export const adapterHubConfigJson = (name: string, config: JsonObject, model: AdapterHubModel): JsonObject => ({
  config,
  hidden_size: model.hiddenSize,
  model_class: model.modelClass,
  model_name: model.name,
  model_type: model.modelType,
  name,
  version: adapterHubVersion,
});
