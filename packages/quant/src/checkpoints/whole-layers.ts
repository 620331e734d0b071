import { float32ToHalf, type WriteTensor } from '@peftjs/io';
import { codeAt, type PackedFormat, PeftError, packedFormats, type Tensor, type TypedArray } from '@peftjs/tensor';
import { hostValues } from '@peftjs/tensor/executor';
import type { Linear, Path } from '@peftjs/transformer';
import type { PackedData } from '../format.ts';
import { type StoredLinear, storedBehind } from '../packed-linear.ts';
import { orderBehind } from './ordered-linear.ts';
import { turned } from './tensors.ts';
import type { CodeBits } from './zero-points.ts';

/** A layer of whole numbers by groups of inputs, (q − z)·s, as GPTQ and AWQ hold them. */
export interface WholeLayer {
  readonly path: Path;
  readonly inDim: number;
  readonly outDim: number;
  readonly bits: CodeBits;
  /** Inputs that share a scale. */
  readonly group: number;
  /** Whether all zero points are the middle code. */
  readonly isSymmetric: boolean;
  /** The inputs in the order in which groups have them; null where that is theirs. */
  readonly order: Int32Array | null;
  read(): Promise<WholeValues>;
}

/** The values of such a layer; columns are in the order of groups. */
export interface WholeValues {
  code(column: number, output: number): number;
  zero(group: number, output: number): number;
  /** [groups, outDim], as bits of f16. */
  readonly scales: Uint16Array;
}

interface Width {
  readonly bits: CodeBits;
  readonly isSymmetric: boolean;
}

const known: ReadonlyMap<PackedFormat, Width> = new Map(
  ([2, 3, 4, 8] as const).flatMap((bits): [PackedFormat, Width][] => [
    [`uint${bits}`, { bits, isSymmetric: false }],
    [`int${bits}`, { bits, isSymmetric: true }],
  ]),
);

/** The packed values on the host. Throws `bad-option` where an executor holds others by now. */
const partsOf = async (who: string, path: Path, { packed }: StoredLinear): Promise<PackedData> => {
  const refuse = (): PeftError =>
    new PeftError(
      'bad-option',
      `${who}: the packed values of ${path} have been written since they were loaded; quantise the layer anew by quantizeOn`,
    );
  const parts = Object.entries(packed) as [keyof PackedData, Tensor][];
  const read = await Promise.all(parts.map(async ([part, t]) => [part, await hostValues(t, refuse)()] as const));
  return Object.fromEntries(read) as unknown as PackedData;
};

/** Scales as bits of f16. Throws `bad-option` for one that f16 does not hold. */
const halvesOf = (who: string, path: Path, scale: TypedArray): Uint16Array => {
  if (scale instanceof Uint16Array) return scale;
  const large = (scale as Float32Array).find((s) => Math.abs(s) >= 65520);
  if (large === undefined) return float32ToHalf(scale as Float32Array);
  throw new PeftError('bad-option', `${who}: a scale of ${path} is ${large}, which f16 does not hold`);
};

const valuesOf = (
  { codes, high, minCodes }: PackedData,
  halves: Uint16Array,
  format: PackedFormat,
  { inDim, outDim }: Linear,
): WholeValues => {
  const { zero } = packedFormats[format];
  const groups = halves.length / outDim;
  const [low, upper] = [codes as Uint8Array, (high ?? new Uint8Array(0)) as Uint8Array];
  return {
    code: (column, output) => codeAt(format, low, output * inDim + column, upper),
    zero: (group, output) => (minCodes ? (minCodes as Uint8Array)[output * groups + group]! : zero!),
    scales: turned(halves, outDim, groups),
  };
};

/** The layer, or what is the matter with it. */
const wholeLayer = (who: string, path: Path, linear: Linear): WholeLayer | string => {
  const ordered = orderBehind(linear);
  const stored = storedBehind(ordered?.base ?? linear);
  if (!stored) return 'is not quantised, or has an adapter around it; merge that, or quantise the layer';
  const { inDim, outDim } = linear;
  const { storage } = stored;
  const { block, format } = storage.layout(inDim);
  const how = known.get(format);
  const { parts } = storage;
  const isPlain = parts.every((part) => part === 'high' || part === 'minCodes');
  if (!how || !isPlain || (parts.includes('minCodes') ? how.isSymmetric : !how.isSymmetric))
    return `is in ${storage.name}, whose blocks are no whole numbers with a scale and a whole zero point each; quantise it by quantizeByGptq, or with int4()`;
  const { bits } = how;
  if (inDim % block > 0) return `has ${inDim} inputs, which groups of ${block} do not fill`;
  if ((inDim * bits) % 32 > 0 || (outDim * bits) % 32 > 0)
    return `of ${outDim} × ${inDim} does not fill words of 32 bits with codes of ${bits}`;
  return {
    path,
    inDim,
    outDim,
    bits,
    group: block,
    isSymmetric: how.isSymmetric,
    order: ordered?.order ?? null,
    read: async () => {
      const data = await partsOf(who, path, stored);
      return valuesOf(data, halvesOf(who, path, data.scale), format, linear);
    },
  };
};

/** Layers of one width, in groups of one size. */
export interface WholeLayers {
  readonly layers: readonly WholeLayer[];
  readonly bits: CodeBits;
  /** −1: all inputs of each layer. */
  readonly group: number;
}

/** The layers of a model's blocks as whole numbers, all of one width in groups of one size. Throws `bad-option`, all faults at once. */
export const wholeLayers = (who: string, linears: ReadonlyMap<Path, Linear>, blocks: readonly Path[]): WholeLayers => {
  const inBlocks = [...linears].filter(([path]) => blocks.some((block) => path.startsWith(`${block}.`)));
  const found = inBlocks.map(([path, linear]) => [path, wholeLayer(who, path, linear)] as const);
  const faults = found.flatMap(([path, layer]) => (typeof layer === 'string' ? [`${path} ${layer}`] : []));
  const layers = found.flatMap(([, layer]) => (typeof layer === 'string' ? [] : [layer]));
  const isWhole = layers.every(({ group, inDim }) => group === inDim);
  const kinds = new Set(layers.map(({ bits, group }) => `${bits} bits in groups of ${isWhole ? 'all inputs' : group}`));
  if (faults.length > 0 || kinds.size !== 1)
    throw new PeftError(
      'bad-option',
      `${who}: ${faults.length > 0 ? faults.join('; ') : `layers are of ${[...kinds].join(' and ') || 'no block'}; such files have one width and size for all`}`,
    );
  const { bits, group } = layers[0]!;
  return { layers, bits, group: isWhole ? -1 : group };
};

/** A tensor of 32-bit words. */
export const wordsTensor = (shape: readonly [number, number], data: () => Promise<Int32Array>): WriteTensor => ({
  dtype: 'I32',
  shape: [...shape],
  data,
});
