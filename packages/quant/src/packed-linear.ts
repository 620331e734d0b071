import {
  add,
  type DType,
  dequantize,
  isWhole,
  matmulQuantized,
  type Packed,
  type PackedOption,
  packedShapes,
  reshape,
  type Tensor,
  type VariableInit,
  variable,
} from '@peftjs/tensor';
import { type Dense, type Linear, type Path, withCodedRows } from '@peftjs/transformer';
import type { PackedData, QuantFormat, Storage } from './format.ts';
import { hostFloats } from './host-floats.ts';

/** First values of the parts of one matrix. */
type Init = (part: keyof PackedData) => VariableInit;

/** Packs a matrix once for all its parts, and keeps nothing after the last has been taken. */
const initOnce = (parts: number, pack: () => Promise<PackedData>): Init => {
  let packing: Promise<PackedData> | null = null;
  const taken = new Set<string>();
  const settle = (): void => {
    packing = null;
    taken.clear();
  };
  return (part) => async () => {
    packing ??= pack();
    try {
      const data = (await packing)[part]!;
      if (taken.add(part).size === parts) settle();
      return data;
    } catch (error) {
      settle();
      throw error;
    }
  };
};

/** [outDim, inDim] */
type MatrixShape = readonly [number, number];

/** The names of the parts in variables. */
const suffixes: { readonly [P in PackedOption | 'codes' | 'scale']: string } = {
  codes: 'codes',
  scale: 'scale',
  scaleCodes: 'scale_codes',
  scaleOffset: 'scale_offset',
  high: 'high',
  min: 'min',
  minCodes: 'min_codes',
};

const dtypeOf = (part: keyof PackedData, { halfScales = false }: Storage): DType => {
  if (part === 'scale' || part === 'min') return halfScales ? 'f16' : 'f32';
  return part === 'scaleOffset' ? 'f32' : 'u8';
};

const packedVariables = (format: Storage, name: string, [outDim, inDim]: MatrixShape, init: Init): Packed<Tensor> => {
  const shapes = packedShapes(format.layout(inDim), outDim, format.parts);
  return Object.fromEntries(
    Object.entries(shapes).map(([part, shape]) => {
      const of = part as keyof PackedData;
      return [of, variable(`${name}.${suffixes[of]}`, shape, init(of), dtypeOf(of, format))];
    }),
  ) as unknown as Packed<Tensor>;
};

/** How a layer is stored, and the variables that hold its parts. */
export interface StoredLinear {
  readonly storage: Storage;
  readonly packed: Packed<Tensor>;
  /** The same layer, its products made otherwise. */
  withCompute(compute: Storage['compute']): Linear;
}

const behind = new WeakMap<Linear, StoredLinear>();

/** The storage of a layer that holds packed values and has nothing wrapped around it; null of any other. */
export const storedBehind = (linear: Linear): StoredLinear | null => behind.get(linear) ?? null;

const linearOf = (
  format: QuantFormat,
  name: string,
  [outDim, inDim]: MatrixShape,
  bias: Tensor | null,
  read: () => Promise<PackedData>,
  storage: Storage = format,
): Linear => {
  const init = initOnce(2 + storage.parts.length, read);
  return linearOfVariables(
    format,
    name,
    [outDim, inDim],
    bias,
    read,
    storage,
    packedVariables(storage, name, [outDim, inDim], init),
  );
};

const linearOfVariables = (
  format: QuantFormat,
  name: string,
  [outDim, inDim]: MatrixShape,
  bias: Tensor | null,
  read: () => Promise<PackedData>,
  storage: Storage,
  packed: Packed<Tensor>,
): Linear => {
  const { codes, scale, scaleCodes = null, scaleOffset = null, high = null, min = null, minCodes = null } = packed;
  const attrs = storage.layout(inDim);
  const { compute } = storage;
  let values: Dense | null = null;
  const linear: Linear = {
    inDim,
    outDim,
    apply: (x) => {
      // Leading axes are rows of one product.
      const rows = reshape(x, [-1, x.shape.at(-1)!]);
      const y = matmulQuantized(rows, codes, scale, scaleCodes, scaleOffset, high, min, minCodes, {
        ...attrs,
        ...(compute && { compute }),
      });
      return reshape(bias ? add(y, bias) : y, [...x.shape.slice(0, -1), outDim]);
    },
    // One and the same each time, by which a table and a head that share it are known.
    dense: () => {
      values ??= { weight: dequantize(codes, scale, scaleCodes, scaleOffset, high, min, minCodes, attrs), bias };
      return values;
    },
    encode: (values) => {
      const load = hostFloats(format.name, name, values.weight);
      const pack = async (): Promise<PackedData> =>
        format.repack
          ? format.repack(name, await load(), outDim, await read(), attrs)
          : format.pack(name, await load(), outDim, inDim);
      return linearOf(format, name, [outDim, inDim], values.bias, pack);
    },
  };
  const withCompute = (as: Storage['compute']): Linear =>
    linearOfVariables(
      { ...format, compute: as },
      name,
      [outDim, inDim],
      bias,
      read,
      { ...storage, compute: as },
      packed,
    );
  behind.set(linear, { storage, packed, withCompute });
  return compute && !bias && isWhole(attrs, packed) && scale.dtype === 'f32'
    ? withCodedRows(linear, { codes, scale })
    : linear;
};

/** A layer in a format that holds packed values. */
export const packedLinear = (
  format: QuantFormat,
  name: string,
  shape: MatrixShape,
  bias: Tensor | null,
  data: PackedData,
): Linear => linearOf(format, name, shape, bias, async () => data);

/**
 * A layer whose packed values are read when first needed, as a file has them: `name` is its weight's, `shape` [outDim, inDim]. Where the file's lie otherwise than `format` packs,
 * `storage` says how; other values are encoded in `format`.
 */
export const storedLinear = (
  format: QuantFormat,
  name: string,
  shape: readonly [outDim: number, inDim: number],
  bias: Tensor | null,
  read: () => Promise<PackedData>,
  storage: Storage = format,
): Linear => linearOf(format, name, shape, bias, read, storage);

/** A function that stores the values of layers in a format, as `merge` takes it: `merge(adapted, { executor, format: inFormat(nf4()) })`. */
export const inFormat =
  (format: QuantFormat): ((path: Path, values: Dense) => Linear) =>
  (path, values) =>
    encodeLinear(format, `${path}.weight`, values);

/** A layer in a format that holds given values, packed on the host when first needed. Throws `bad-option` for a computed weight. */
export const encodeLinear = (format: QuantFormat, name: string, { weight, bias }: Dense): Linear => {
  const shape = weight.shape as MatrixShape;
  const load = hostFloats(format.name, name, weight);
  const pack = async (): Promise<PackedData> => format.pack(name, await load(), ...shape);
  return linearOf(format, name, shape, bias, pack);
};
