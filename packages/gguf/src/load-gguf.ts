import type { FilePlace, Files } from '@peftjs/io';
import { ggml, iqBlocks, storedLinear } from '@peftjs/quant';
import { checkOptions, isPeftError, mustBe, PeftError, type Rules, type Shape, sameShape } from '@peftjs/tensor';
import { buildModel, type CausalLM, type Linear, type Path, parseConfig, type WeightDType } from '@peftjs/transformer';
import { type Architecture, nameInFile } from './architecture.ts';
import { configJsonOf } from './config-json.ts';
import { folderOf } from './gguf-folder.ts';
import { type GgufFile, type GgufTensor, isBlocks, isIq, openGguf, readValues } from './open-gguf.ts';
import { ropeTables } from './rope-factors.ts';
import { byHalves, headsOf } from './row-order.ts';

/** Options of `loadGguf`. */
export interface LoadGgufOptions {
  /**
   * How matrices that are no quantised layers are kept: those that the file has as floats, and the table of tokens. Norms and biases are f32.
   * Default `f32`.
   */
  readonly dtype?: WeightDType;
}

const rules: Rules<LoadGgufOptions> = { dtype: mustBe.oneOf(['f32', 'f16']) };

const isRopeTable = (name: string): boolean => (Object.values(ropeTables) as string[]).includes(name);

const isNorm = (name: string): boolean => /norm\.weight$/.test(name);

/** The tensors of a file by our names, checked against what the model wants of each. */
const finder = (file: GgufFile, architecture: Architecture) => {
  const used = new Set<string>();
  const problems: string[] = [];
  return {
    problems,
    find: (name: string, shape: Shape): GgufTensor | null => {
      const inFile = nameInFile(architecture, name);
      const tensor = inFile === undefined ? undefined : file.tensors.get(inFile);
      if (!tensor) problems.push(`${inFile ?? name} is missing`);
      else if (!sameShape(tensor.shape, shape))
        problems.push(`${tensor.name} is [${tensor.shape}], the metadata make it [${shape}]`);
      if (tensor) used.add(tensor.name);
      return tensor ?? null;
    },
    left: (): string[] => [...file.tensors.keys()].filter((name) => !used.has(name) && !isRopeTable(name)),
  };
};

/** The files beside the model's weights; none where its tokenizer is of a kind that is not read, as `ggufFolder` tells. */
const companions = async (file: GgufFile): Promise<Files | null> => {
  try {
    return await folderOf(file);
  } catch (error) {
    if (isPeftError(error) && error.code === 'bad-tokenizer') return null;
    throw error;
  }
};

/**
 * Loads a decoder from a GGUF file of llama.cpp: a path on disk, a URL, or a path in `Files`. Layers that the file has quantised stay so, block by
 * block, with the same values to the bit: what LoRA and its kin train on, as after `quantize`. The table of tokens, norms, biases and layers of floats
 * are widened. Only the header is read and checked now; each tensor is read when an executor first needs it, so the file must stay as it is.
 * Its tokenizer is `loadTokenizer(await ggufFolder(file))`.
 * Throws `bad-option`, `file-missing`, `read-failed`, `bad-gguf`, `unknown-architecture`, `bad-config`; `state-mismatch` with all tensors that are
 * missing, left over or of another shape.
 */
export const loadGguf = async (place: FilePlace, options: LoadGgufOptions = {}): Promise<CausalLM> => {
  checkOptions('loadGguf', rules, options);
  const file = await openGguf(place);
  const { architecture, json } = await configJsonOf(file);
  const config = await parseConfig(json, file.name);
  const tensors = finder(file, architecture);
  const heads = (name: string): number | null => headsOf(architecture, json, name);
  const packed = new Map<string, GgufTensor>();
  const source = await companions(file);
  const model = buildModel(config, {
    ...(source && { source }),
    dtype: options.dtype ?? 'f32',
    has: (name) => nameInFile(architecture, name) !== undefined,
    load: (name, shape) => {
      const tensor = tensors.find(name, shape);
      if (tensor && (isBlocks(tensor.storage) || isIq(tensor.storage))) packed.set(name, tensor);
      return async () => {
        const values = await readValues(tensor!);
        const offset = isNorm(name) ? (architecture.normOffset ?? 0) : 0;
        const ordered = heads(name) === null ? values : byHalves(values, shape[0]!, heads(name)!);
        return offset === 0 ? ordered : ordered.map((v) => v - offset);
      };
    },
  });
  const problems = [...tensors.problems, ...tensors.left().map((name) => `${name} belongs to nothing in the model`)];
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${file.name}: its tensors do not fit its metadata: ${problems.slice(0, 8).join('; ')}${problems.length > 8 ? `; and ${problems.length - 8} more` : ''}. Download it again.`,
    );
  const linears = new Map<Path, Linear>();
  for (const [path, linear] of model.linears) {
    const name = `${path}.weight`;
    const tensor = packed.get(name);
    if (!tensor) continue;
    const [rows, inDim] = tensor.shape as [number, number];
    const bytes = async (): Promise<Uint8Array> => {
      const own = await tensor.bytes();
      return heads(name) === null ? own : byHalves(own, rows, heads(name)!);
    };
    const { storage } = tensor;
    const { bias } = linear.dense();
    if (isIq(storage)) {
      const from = iqBlocks(storage);
      const read = async () => from.read(name, await bytes(), rows, inDim);
      linears.set(path, storedLinear(from.instead, name, [rows, inDim], bias, read, from.storage));
    } else if (isBlocks(storage)) {
      const format = ggml(storage);
      const read = async () => format.read(name, await bytes(), rows, inDim);
      linears.set(path, storedLinear(format, name, [rows, inDim], bias, read));
    }
  }
  return model.with({ linears });
};
