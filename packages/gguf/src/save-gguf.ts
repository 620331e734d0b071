import { type FilePlace, fileAt, nameOf, writable } from '@peftjs/io';
import { type GgmlType, ggml, ggmlTypes } from '@peftjs/quant';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules, sizeOf } from '@peftjs/tensor';
import {
  type CausalLM,
  companionFiles,
  hfConfig,
  type ModelTensor,
  modelTensors,
  parseConfig,
  requireModel,
  unlikeFields,
} from '@peftjs/transformer';
import { nameInFile, numbersOf } from './architecture.ts';
import { architectureOf } from './architectures.ts';
import { configJsonOf } from './config-json.ts';
import { encodeGguf, type WrittenTensor, type WrittenValue } from './encode.ts';
import { floatBytes, floatTypes } from './float-bytes.ts';
import { type GgufTensor, isBlocks } from './open-gguf.ts';
import { tablesOf } from './rope-factors.ts';
import { headsOf, inPairs } from './row-order.ts';
import { tokenizerMetadata } from './tokenizer-metadata.ts';

/** How the matrices of a file are stored: floats, one type of blocks, or a mixture of llama.cpp's. */
export type GgufMixture = 'F32' | 'F16' | 'BF16' | GgmlType | 'Q4_K_M';

/** The executor that has a model's values, and how they are written. */
export interface SaveGgufOptions extends OnExecutor {
  /**
   * How matrices are stored; norms and biases are F32. Where rows are no whole blocks of a K type, the type of blocks of 32 that llama.cpp takes
   * instead (`Q5_0` for `Q4_K`), and F16 where these do not fit either. Default `F16`.
   */
  readonly storage?: GgufMixture;
}

const rules: Rules<SaveGgufOptions> = {
  ...onExecutor,
  storage: mustBe.oneOf(['F32', 'F16', 'BF16', ...ggmlTypes, 'Q4_K_M']),
};

type Plain = Exclude<GgufMixture, 'Q4_K_M'>;

/** Types of blocks of 32 in the place of those of 256, as llama.cpp chooses them. */
const instead: { readonly [T in GgmlType]?: GgmlType } = {
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
  IQ4_XS: 'IQ4_NL',
  TQ1_0: 'Q4_0',
  TQ2_0: 'Q4_0',
};

/** The storage in which a row of values fits. */
const fitting = (storage: Plain, row: number): Plain => {
  if (!isBlocks(storage) || row % ggml(storage).blockSize === 0) return storage;
  const other = instead[storage];
  return other && row % ggml(other).blockSize === 0 ? other : 'F16';
};

/** Layers whose values and down projections get more bits in llama.cpp's mixtures: the first and last eighth, and every third between. */
const getsMore = (layer: number, layers: number): boolean => {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= layers - eighth || (layer - eighth) % 3 === 2;
};

/** The storage of a tensor in a mixture. https://github.com/ggml-org/llama.cpp (llama-quant.cpp) */
const inMixture = (mixture: GgufMixture, name: string, layers: number, tied: boolean): Plain => {
  if (mixture !== 'Q4_K_M') return mixture;
  if (name === 'output.weight' || (tied && name === 'token_embd.weight')) return 'Q6_K';
  const [, layer] = /^blk\.(\d+)\.(?:attn_v|ffn_down)\./.exec(name) ?? [];
  return layer !== undefined && getsMore(Number(layer), layers) ? 'Q6_K' : 'Q4_K';
};

/** A tensor in a storage. */
const written = (
  name: string,
  shape: readonly number[],
  storage: Plain,
  values: () => Promise<Float32Array>,
): WrittenTensor => {
  const row = shape.at(-1)!;
  const rows = sizeOf(shape) / row;
  if (!isBlocks(storage)) {
    const { type, width } = floatTypes[storage];
    const bytes = async (): Promise<Uint8Array> => floatBytes('saveGguf', name, storage, await values());
    return { name, shape, type, size: width * rows * row, bytes };
  }
  const format = ggml(storage);
  const size = ((rows * row) / format.blockSize) * format.blockBytes;
  return { name, shape, type: format.id, size, bytes: async () => format.write(name, await values(), rows, row) };
};

/** The tables of rotary factors, where a config stretches positions by such. */
const ropeRows = (json: Readonly<Record<string, unknown>>): WrittenTensor[] =>
  [...tablesOf(json)].map(([name, factors]) => written(name, [factors.length], 'F32', async () => factors));

/** The metadata of the positions beyond the context of pretraining. */
const ropeMetadata = (architecture: string, json: Readonly<Record<string, unknown>>): [string, WrittenValue][] => {
  const { rope_type: kind, factor } = Object(json['rope_scaling']) as Readonly<Record<string, unknown>>;
  if (kind !== 'linear') return [];
  return [
    [`${architecture}.rope.scaling.type`, { kind: 'string', value: kind }],
    [`${architecture}.rope.scaling.factor`, { kind: 'f32', value: Number(factor) }],
  ];
};

/**
 * Reads what a file would say of a model, as llama.cpp takes it, and compares. Throws `not-mergeable` with what it would not be told: windows in other layers than the
 * architecture's, a scale of scores of its own.
 */
const checkTold = async (
  model: CausalLM,
  name: string,
  metadata: ReadonlyMap<string, WrittenValue>,
  rows: readonly WrittenTensor[],
): Promise<void> => {
  const tensors = new Map(rows.map((row) => [row.name, { ...row, storage: 'F32' } as GgufTensor]));
  const values = new Map([...metadata].map(([key, { value }]) => [key, value]));
  const { json } = await configJsonOf({ name, metadata: values, tensors });
  const told = await parseConfig(json, name);
  const odd = unlikeFields({ ...model.config, tieWordEmbeddings: told.tieWordEmbeddings }, told);
  if (odd.length > 0)
    throw new PeftError(
      'not-mergeable',
      `saveGguf: llama.cpp's files cannot say what this ${model.config.modelType} does by ${odd.join(', ')}, and would be read as another model; save it with saveModel`,
    );
};

/**
 * Writes a decoder as a GGUF file for llama.cpp: adapted and quantised layers as their effective values, quantised anew where `storage` says so; the
 * tokenizer of the folder that the model was loaded from comes along. One tensor is in memory at a time. Throws `not-mergeable` where weights cannot say
 * what the model does; `unknown-architecture` with the types that are written; `bad-tokenizer` for a tokenizer that llama.cpp has no name for;
 * `bad-option`, `bad-data`, `write-failed`.
 */
export const saveGguf = async (model: CausalLM, place: FilePlace, options: SaveGgufOptions): Promise<void> => {
  requireModel('saveGguf', model);
  checkOptions('saveGguf', rules, options);
  const { executor, storage = 'F16' } = options;
  const json = hfConfig(model, 'f32');
  const [name, architecture] = architectureOf('saveGguf', String(json['model_type']));
  const tensors = modelTensors('saveGguf', model, executor);
  const tied = json['tie_word_embeddings'] === true;
  const layers = model.config.layers;
  const heads = (tensor: string): number | null => headsOf(architecture, json, tensor);
  const valuesOf =
    (tensor: string, { shape, values }: ModelTensor) =>
    async (): Promise<Float32Array> => {
      const found = await values();
      const ordered = heads(tensor) === null ? found : inPairs(found, shape[0]!, heads(tensor)!);
      const offset = tensor.endsWith('norm.weight') ? (architecture.normOffset ?? 0) : 0;
      return offset === 0 ? ordered : ordered.map((v) => v + offset);
    };
  const rows = [...tensors].map(([tensor, made]): WrittenTensor => {
    const inFile = nameInFile(architecture, tensor)!;
    const isMatrix = made.shape.length === 2 && !inFile.startsWith('position_embd');
    const kind = isMatrix ? fitting(inMixture(storage, inFile, layers, tied), made.shape[1]!) : 'F32';
    return written(inFile, made.shape, kind, valuesOf(tensor, made));
  });
  const file = await fileAt(place);
  const companions = await companionFiles(model);
  const metadata = new Map<string, WrittenValue>([
    ['general.architecture', { kind: 'string', value: name }],
    ['general.type', { kind: 'string', value: 'model' }],
    ['general.alignment', { kind: 'u32', value: 32 }],
    ...numbersOf(architecture, json).map(([field, kind, value]): [string, WrittenValue] => [
      `${name}.${field}`,
      { kind, value },
    ]),
    ...ropeMetadata(name, json),
    ...tokenizerMetadata(nameOf(file), companions, model.config),
  ]);
  const all = [...ropeRows(json), ...rows];
  await checkTold(model, nameOf(file), metadata, all);
  await writable(file.files).write(new Map([[file.path, encodeGguf(metadata, all)]]));
};
