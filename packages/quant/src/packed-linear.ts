import {
  add,
  dequantize,
  matmulQuantized,
  packedRow,
  reshape,
  scaleGroup,
  type Tensor,
  type Variable,
  type VariableInit,
  variable,
} from '@peftjs/tensor';
import type { Dense, Linear } from '@peftjs/transformer';
import type { PackedData, QuantFormat } from './format.ts';
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

interface PackedVariables {
  readonly codes: Variable;
  readonly scale: Variable;
  readonly scaleCodes: Variable | null;
  readonly scaleOffset: Variable | null;
}

const packedVariables = (
  { layout, packsScales }: QuantFormat,
  name: string,
  [outDim, inDim]: MatrixShape,
  init: Init,
): PackedVariables => {
  const { blocks, bytes } = packedRow(layout(inDim));
  const groups = [Math.ceil((outDim * blocks) / scaleGroup)];
  return {
    codes: variable(`${name}.codes`, [outDim, bytes], init('codes'), 'u8'),
    scale: variable(`${name}.scale`, packsScales ? groups : [outDim, blocks], init('scale')),
    scaleCodes: packsScales ? variable(`${name}.scale_codes`, [outDim, blocks], init('scaleCodes'), 'u8') : null,
    scaleOffset: packsScales ? variable(`${name}.scale_offset`, [], init('scaleOffset')) : null,
  };
};

const linearOf = (
  format: QuantFormat,
  name: string,
  [outDim, inDim]: MatrixShape,
  bias: Tensor | null,
  init: Init,
): Linear => {
  const { codes, scale, scaleCodes, scaleOffset } = packedVariables(format, name, [outDim, inDim], init);
  const attrs = format.layout(inDim);
  return {
    inDim,
    outDim,
    apply: (x) => {
      // Leading axes are rows of one product.
      const rows = reshape(x, [-1, x.shape.at(-1)!]);
      const y = matmulQuantized(rows, codes, scale, scaleCodes, scaleOffset, attrs);
      return reshape(bias ? add(y, bias) : y, [...x.shape.slice(0, -1), outDim]);
    },
    dense: () => ({ weight: dequantize(codes, scale, scaleCodes, scaleOffset, attrs), bias }),
    encode: (values) => encodeLinear(format, name, values),
  };
};

/** A layer in a format that holds packed values. */
export const packedLinear = (
  format: QuantFormat,
  name: string,
  shape: MatrixShape,
  bias: Tensor | null,
  data: PackedData,
): Linear => linearOf(format, name, shape, bias, (part) => data[part]!);

/** A layer in a format that holds given values, packed on the host when first needed. Throws `bad-option` for a computed weight. */
export const encodeLinear = (format: QuantFormat, name: string, { weight, bias }: Dense): Linear => {
  const shape = weight.shape as MatrixShape;
  const load = hostFloats(format.name, name, weight);
  const pack = async (): Promise<PackedData> => format.pack(name, await load(), ...shape);
  return linearOf(format, name, shape, bias, initOnce(format.packsScales ? 4 : 2, pack));
};
