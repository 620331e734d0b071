import {
  type AdapterTensor,
  type FilePlace,
  fileAt,
  type Place,
  pythonPattern,
  readAdapter,
  writable,
} from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type CausalLM, hfConfig, requireModel } from '@peftjs/transformer';
import { nameInFile } from './architecture.ts';
import { architectureOf } from './architectures.ts';
import { encodeGguf, type WrittenTensor, type WrittenValue } from './encode.ts';
import { floatBytes, floatTypes } from './float-bytes.ts';
import { headsOf, inPairs } from './row-order.ts';

/** The model that an adapter belongs to, and how its values are stored. */
export interface SaveGgufAdapterOptions {
  /** The base: its architecture, its layers and their sizes. */
  readonly base: CausalLM;
  /** Default `F32`. */
  readonly storage?: 'F32' | 'F16';
}

const rules: Rules<SaveGgufAdapterOptions> = {
  base: mustBe.given(mustBe.object),
  storage: mustBe.oneOf(['F32', 'F16']),
};

/** Fields of an adapter's config, each with the values that mean a plain LoRA; others are not what llama.cpp adds. */
const plain: Readonly<Record<string, readonly unknown[]>> = {
  use_dora: [false],
  lora_bias: [false],
  use_qalora: [false],
  use_bdlora: [false],
  alora_invocation_tokens: [],
  arrow_config: [],
  kasa_config: [],
  layer_replication: [],
  modules_to_save: [],
  trainable_token_indices: [],
  target_parameters: [],
  init_lora_weights: [true, false, 'gaussian', 'orthogonal', 'eva', 'loftq'],
  bias: ['none'],
};

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0);

/** The factor of a layer's product, by Hugging Face PEFT's rules: alpha / rank, or alpha / √rank. */
const scaleOf = (raw: Readonly<Record<string, unknown>>, path: string, rank: number, who: string): number => {
  const patterns = Object.entries((raw['alpha_pattern'] ?? {}) as Readonly<Record<string, number>>);
  const [, own] = patterns.find(([source]) => pythonPattern(`(.*\\.)?(${source})$`, who).match(path) !== null) ?? [];
  return Number(own ?? raw['lora_alpha'] ?? 8) / (raw['use_rslora'] === true ? Math.sqrt(rank) : rank);
};

interface Pair {
  readonly a: AdapterTensor;
  readonly b: AdapterTensor;
}

/** A and B by the path of their layer. Throws `not-mergeable` for tensors of other kinds. */
const pairsOf = (who: string, tensors: ReadonlyMap<string, AdapterTensor>): ReadonlyMap<string, Pair> => {
  const halves = new Map<string, Partial<Pair>>();
  for (const [name, tensor] of tensors) {
    const [, path, half] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name) ?? [];
    if (path === undefined)
      throw new PeftError('not-mergeable', `${who}: llama.cpp adds products of two matrices alone; ${name} is none`);
    halves.set(path, { ...halves.get(path), [half === 'A' ? 'a' : 'b']: tensor });
  }
  const odd = [...halves].find(([, { a, b }]) => !a || !b);
  if (odd) throw new PeftError('bad-adapter', `${who}: ${odd[0]} has only one of lora_A and lora_B`);
  return halves as ReadonlyMap<string, Pair>;
};

const checkSizes = (who: string, base: CausalLM, path: string, { a, b }: Pair): void => {
  const layer = base.linears.get(path);
  const fits = layer && a.shape[1] === layer.inDim && b.shape[0] === layer.outDim && a.shape[0] === b.shape[1];
  if (!fits)
    throw new PeftError(
      'state-mismatch',
      `${who}: ${path} has lora_A [${a.shape}] and lora_B [${b.shape}]; the base ${layer ? `takes [rank,${layer.inDim}] and [${layer.outDim},rank]` : 'has no such layer'}`,
    );
};

/**
 * Writes a LoRA adapter of a folder, in the layout of Hugging Face PEFT, as a GGUF file for llama.cpp (`--lora`): other methods become such a LoRA by `toLora`. Scales
 * of single layers, and rsLoRA's, are put into B, since llama.cpp knows one alpha. Throws as `readAdapter`; `not-mergeable` for what llama.cpp does not add, by name;
 * `unknown-architecture`, `state-mismatch`, `bad-option`, `write-failed`.
 */
export const saveGgufAdapter = async (
  adapter: Place,
  place: FilePlace,
  options: SaveGgufAdapterOptions,
): Promise<void> => {
  checkOptions('saveGgufAdapter', rules, options);
  const { base, storage = 'F32' } = options;
  requireModel('saveGgufAdapter', base);
  const { config, tensors, layout } = await readAdapter(adapter);
  const who = 'saveGgufAdapter';
  const { raw } = config;
  if (layout !== 'peft' || config.method !== 'LORA')
    throw new PeftError(
      'not-mergeable',
      `${who}: the adapter is ${config.method}; make it a LoRA by toLora and save that`,
    );
  const odd = Object.keys(plain).filter((field) => !isEmpty(raw[field]) && !plain[field]!.includes(raw[field]));
  if (odd.length > 0)
    throw new PeftError(
      'not-mergeable',
      `${who}: llama.cpp does not do ${odd.map((field) => `${field} ${JSON.stringify(raw[field])}`).join(', ')}; merge the adapter and write the model by saveGguf`,
    );
  const json = hfConfig(base, 'f32');
  const [name, architecture] = architectureOf(who, String(json['model_type']));
  const alpha = Number(raw['lora_alpha'] ?? 8);
  const rows: WrittenTensor[] = [];
  const put = (tensor: string, shape: readonly number[], values: Float32Array): void => {
    const bytes = floatBytes(who, tensor, storage, values);
    rows.push({ name: tensor, shape, type: floatTypes[storage].type, size: bytes.length, bytes: async () => bytes });
  };
  for (const [path, pair] of pairsOf(who, tensors)) {
    checkSizes(who, base, path, pair);
    const inFile = nameInFile(architecture, `${path}.weight`);
    if (inFile === 'output.weight' && json['tie_word_embeddings'] === true)
      throw new PeftError(
        'not-mergeable',
        `${who}: ${path} is the table of tokens in this model, so its GGUF file has no output.weight that llama.cpp could adapt; merge the adapter and write the model by saveGguf`,
      );
    if (inFile === undefined)
      throw new PeftError('not-mergeable', `${who}: a GGUF file of ${name} has no layer for ${path}`);
    const [rank, outDim] = [pair.a.shape[0]!, pair.b.shape[0]!];
    const factor = scaleOf(raw, path, rank, who) / (alpha / rank);
    const heads = headsOf(architecture, json, `${path}.weight`);
    const ordered =
      heads === null ? (pair.b.data as Float32Array) : inPairs(pair.b.data as Float32Array, outDim, heads);
    put(`${inFile}.lora_a`, pair.a.shape, pair.a.data as Float32Array);
    put(`${inFile}.lora_b`, pair.b.shape, factor === 1 ? ordered : ordered.map((v) => v * factor));
  }
  const metadata = new Map<string, WrittenValue>([
    ['general.architecture', { kind: 'string', value: name }],
    ['general.type', { kind: 'string', value: 'adapter' }],
    ['general.alignment', { kind: 'u32', value: 32 }],
    ['adapter.type', { kind: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { kind: 'f32', value: alpha }],
  ]);
  const file = await fileAt(place);
  await writable(file.files).write(new Map([[file.path, encodeGguf(metadata, rows)]]));
};
