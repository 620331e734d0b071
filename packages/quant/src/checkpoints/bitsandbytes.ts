import { isObject, type TensorReader } from '@peftjs/io';
import { dynamicMap, type PackedAttrs, PeftError, packedFormats, scaleGroup, sizeOf } from '@peftjs/tensor';
import type { CheckpointReader, FindLayer, StoredLayer } from '@peftjs/transformer';
import type { PackedData, QuantFormat, Storage } from '../format.ts';
import { int8 } from '../integers.ts';
import { fp4, nf4 } from '../normal-float.ts';
import { storedLinear } from '../packed-linear.ts';
import { bytesOf, checkScales, expectTensor } from './tensors.ts';

/** The state of a matrix in 4 bits, as a file tells it. */
interface QuantState {
  readonly type: 'nf4' | 'fp4';
  readonly blocksize: number;
  /** The mean that packed scales lack; null where scales are plain. */
  readonly offset: number | null;
}

const wrong = (who: string, what: string): PeftError =>
  new PeftError(
    'state-mismatch',
    `${who}: ${what}; the file is of another version of bitsandbytes, or damaged. Quantise the model's floats here: quantize(model, nf4()).`,
  );

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const readState = async (checkpoint: TensorReader, name: string, shape: readonly number[]): Promise<QuantState> => {
  const who = `${checkpoint.path}: ${name}`;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await bytesOf(checkpoint, name)));
  } catch (cause) {
    throw new PeftError('state-mismatch', `${who}: is no JSON. Download the folder again.`, { cause });
  }
  if (!isObject(json)) throw wrong(who, 'is no JSON object');
  const { quant_type: type, blocksize, shape: own, nested_blocksize: group, nested_offset: offset = null } = json;
  if (type !== 'nf4' && type !== 'fp4') throw wrong(who, `quant_type is ${JSON.stringify(type)}, not nf4 or fp4`);
  if (!isSize(blocksize)) throw wrong(who, `blocksize is ${JSON.stringify(blocksize)}`);
  if (JSON.stringify(own) !== JSON.stringify(shape))
    throw wrong(who, `shape is ${JSON.stringify(own)}, the model's is [${shape}]`);
  if (offset !== null && (typeof offset !== 'number' || group !== scaleGroup))
    throw wrong(
      who,
      `scales are packed in groups of ${JSON.stringify(group)} with offset ${JSON.stringify(offset)}, not of ${scaleGroup} with a number`,
    );
  return { type, blocksize, offset: offset as number | null };
};

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Each value `times` times. */
const repeated = <T extends Float32Array | Uint8Array>(values: T, times: number, count: number): T => {
  const out = new (values.constructor as new (length: number) => T)(count);
  for (let i = 0; i < count; i++) out[i] = values[Math.floor(i / times)]!;
  return out;
};

const sameLevels = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  a.length === b.length && Array.from(a).every((v, i) => Math.abs(v - b[i]!) < 1e-6);

/**
 * A matrix in 4 bits. bitsandbytes' blocks run through all rows; where some cross from a row to the next, they are cut at multiples of what divides both, and their scale stands for each part.
 */
const fourBit = async (
  checkpoint: TensorReader,
  path: string,
  state: string,
  shape: readonly [number, number],
): Promise<StoredLayer> => {
  const [outDim, inDim] = shape;
  const weight = `${path}.weight`;
  const { type, blocksize, offset } = await readState(checkpoint, state, shape);
  const block = gcd(inDim, blocksize);
  const parts = blocksize / block;
  if (block % 2 > 0)
    throw new PeftError(
      'bad-shape',
      `${checkpoint.path}: ${weight} has rows of ${inDim} values, an odd number, so that blocks of ${blocksize} begin inside a byte of a row; such are not read. Load the model's floats, then quantize(model, ${type}()).`,
    );
  const blocks = Math.ceil(sizeOf(shape) / blocksize);
  const doubleQuant = offset !== null;
  expectTensor(checkpoint, `${weight}.absmax`, [blocks], [doubleQuant ? 'U8' : 'F32']);
  expectTensor(checkpoint, `${weight}.quant_map`, [16], ['F32']);
  const bytes = checkpoint.tensors.get(weight)?.byteLength;
  if (bytes !== sizeOf(shape) / 2)
    throw wrong(`${checkpoint.path}: ${weight}`, `has ${bytes} bytes, [${shape}] takes ${sizeOf(shape) / 2}`);
  const nested = [`${weight}.nested_absmax`, `${weight}.nested_quant_map`];
  if (doubleQuant) {
    expectTensor(checkpoint, nested[0]!, [Math.ceil(blocks / scaleGroup)], ['F32']);
    expectTensor(checkpoint, nested[1]!, [scaleGroup], ['F32']);
  }
  const tensors = [weight, state, `${weight}.absmax`, `${weight}.quant_map`, ...(doubleQuant ? nested : [])];
  const make = type === 'nf4' ? nf4 : fp4;
  const format = make({ blockSize: block, doubleQuant });
  const storage: Storage = {
    ...format,
    layout: (dim): PackedAttrs => ({
      format: type,
      inDim: dim,
      block,
      ...(doubleQuant && { group: scaleGroup * parts }),
    }),
  };
  const read = async (): Promise<PackedData> => {
    const codes = await bytesOf(checkpoint, weight);
    if (!sameLevels(await checkpoint.readFloat32(`${weight}.quant_map`), packedFormats[type].levels))
      throw wrong(`${checkpoint.path}: ${weight}.quant_map`, `holds other levels than ${type}`);
    const count = (outDim * inDim) / block;
    if (!doubleQuant) {
      const scale = checkScales(
        `${checkpoint.path}: ${weight}.absmax`,
        await checkpoint.readFloat32(`${weight}.absmax`),
      );
      return { codes, scale: repeated(scale, parts, count) };
    }
    if (!sameLevels(await checkpoint.readFloat32(nested[1]!), dynamicMap))
      throw wrong(`${checkpoint.path}: ${nested[1]}`, 'holds another map than the dynamic one');
    return {
      codes,
      scale: checkScales(`${checkpoint.path}: ${nested[0]}`, await checkpoint.readFloat32(nested[0]!)),
      scaleCodes: repeated(await bytesOf(checkpoint, `${weight}.absmax`), parts, count),
      scaleOffset: Float32Array.of(offset),
    };
  };
  return { tensors, linear: (name, bias) => storedLinear(format, name, shape, bias, read, storage) };
};

/** A matrix in int8: w = q · SCB / 127, SCB the largest magnitude of a row. Where products are of whole numbers, q is kept as it is in the file. */
const eightBit = (
  checkpoint: TensorReader,
  path: string,
  shape: readonly [number, number],
  format: QuantFormat,
): StoredLayer => {
  const [weight, scb, order] = [`${path}.weight`, `${path}.SCB`, `${path}.weight_format`];
  const [outDim] = shape;
  expectTensor(checkpoint, weight, shape, ['I8']);
  expectTensor(checkpoint, scb, [outDim], ['F32']);
  const tensors = [weight, scb, ...(checkpoint.tensors.has(order) ? [order] : [])];
  const read = async (): Promise<PackedData> => {
    const isRowMajor = !checkpoint.tensors.has(order) || (await bytesOf(checkpoint, order))[0] === 0;
    if (!isRowMajor) throw wrong(`${checkpoint.path}: ${order}`, 'names an order of values that is not by rows');
    const scales = checkScales(`${checkpoint.path}: ${scb}`, await checkpoint.readFloat32(scb));
    const bytes = await bytesOf(checkpoint, weight);
    return { codes: format.compute ? bytes : bytes.map((code) => code ^ 128), scale: scales.map((s) => s / 127) };
  };
  return { tensors, linear: (name, bias) => storedLinear(format, name, shape, bias, read) };
};

const finds =
  (wholeNumbers: QuantFormat): FindLayer =>
  async (checkpoint, path, shape) => {
    const has = (name: string): boolean => checkpoint.tensors.has(`${path}.${name}`);
    if (has('SCB')) return eightBit(checkpoint, path, shape, wholeNumbers);
    const state = ['nf4', 'fp4'].map((type) => `weight.quant_state.bitsandbytes__${type}`).find(has);
    return state === undefined ? null : fourBit(checkpoint, path, `${path}.${state}`, shape);
  };

/**
 * Checkpoints of bitsandbytes, as transformers saves them: `loadModel(dir, { readers: [bitsandbytes] })`. Matrices in NF4 and FP4, with or without double quantisation, and int8 (LLM.int8())
 * keep their bytes; values are bitsandbytes' own up to rounding. Products take them in f32, whatever `bnb_4bit_compute_dtype` says, and inputs as they are, where LLM.int8() rounds them to int8.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023. https://arxiv.org/abs/2305.14314; the layout is that of https://github.com/bitsandbytes-foundation/bitsandbytes.
 */
export const bitsandbytes: CheckpointReader = { method: 'bitsandbytes', open: () => finds(int8()) };

/**
 * The same checkpoints, with the matrices in int8 multiplied as whole numbers (`int8({ compute: 'int8' })`): inputs are rounded too, row by row, as LLM.int8() does but for inputs that stand out, which it looks for in every product and which
 * are rounded here like all others.
 */
export const bitsandbytesInt8: CheckpointReader = {
  method: 'bitsandbytes',
  open: () => finds(int8({ compute: 'int8' })),
};
