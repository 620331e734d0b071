import type { TensorReader } from '@peftjs/io';
import { PeftError, wholeBytes } from '@peftjs/tensor';
import { rowWriter } from '../code-writer.ts';
import type { PackedData, QuantFormat, Storage } from '../format.ts';
import { type IntOptions, int2, int3, int4, int8 } from '../integers.ts';
import { checkScales, expectTensor, turned } from './tensors.ts';

/** Widths of the codes of such checkpoints. */
export type CodeBits = 2 | 3 | 4 | 8;

/** The formats of whole numbers by their width. */
export const formats: { readonly [B in CodeBits]: (options: IntOptions) => QuantFormat } = {
  2: int2,
  3: int3,
  4: int4,
  8: int8,
};

/** Whole numbers by groups of inputs, (q − z)·s, as GPTQ and AWQ have them: the format, and how the file's are laid out. */
export interface ZeroPoints {
  readonly format: QuantFormat;
  readonly storage: Storage;
  readonly groups: number;
}

/** The parts of a file's matrices: zero points are whole numbers there, where those of merged ones are real. */
export const withZeros = ({ parts }: QuantFormat): QuantFormat['parts'] =>
  parts.map((part) => (part === 'min' ? 'minCodes' : part));

/** Throws `bad-shape` for inputs that are not whole groups of whole bytes. */
export const zeroPoints = (
  { path, tensors }: TensorReader,
  name: string,
  bits: CodeBits,
  inDim: number,
  groupSize: number,
): ZeroPoints => {
  const group = groupSize === -1 ? inDim : groupSize;
  if (inDim % group > 0 || group % wholeBytes(`uint${bits}`) > 0)
    throw new PeftError(
      'bad-shape',
      `${path}: ${name} has ${inDim} inputs, which groups of ${group} at ${bits} bits do not fill; such are not read.`,
    );
  const format = formats[bits]({ blockSize: group, zeroPoints: 'real' });
  const halfScales = tensors.get(`${name}.scales`)?.dtype === 'F16';
  return { format, storage: { ...format, parts: withZeros(format), halfScales }, groups: inDim / group };
};

/** Throws `state-mismatch` unless scales are [groups, outDim]. */
export const expectScales = (checkpoint: TensorReader, path: string, groups: number, outDim: number): void =>
  expectTensor(checkpoint, `${path}.scales`, [groups, outDim], ['F16', 'BF16', 'F32']);

/** Scales [groups, outDim] of a file as ours, [outDim, groups]. Throws `bad-data` where one is not finite. */
const readScales = async (
  checkpoint: TensorReader,
  name: string,
  groups: number,
  outDim: number,
): Promise<Float32Array | Uint16Array> => {
  const values = checkScales(`${checkpoint.path}: ${name}`, await checkpoint.readFloat32(name));
  const { dtype, data } = await checkpoint.read(name);
  return dtype === 'F16' ? turned(data, groups, outDim) : turned(values, groups, outDim);
};

/** The packed matrix of a file's scales, and of functions that give the code of an input and output, and the zero point of a group and output. */
export const packZeroPoints = async (
  checkpoint: TensorReader,
  path: string,
  { storage, groups }: ZeroPoints,
  [outDim, inDim]: readonly [number, number],
  codeAt: (input: number, output: number) => number,
  zeroAt: (group: number, output: number) => number,
): Promise<PackedData> => {
  const { planes, put } = rowWriter(storage.layout(inDim), outDim);
  const minCodes = new Uint8Array(outDim * groups);
  const row = new Uint8Array(inDim);
  for (let o = 0; o < outDim; o++) {
    for (let i = 0; i < inDim; i++) row[i] = codeAt(i, o);
    put(o, row);
    for (let g = 0; g < groups; g++) minCodes[o * groups + g] = zeroAt(g, o);
  }
  return { ...planes, scale: await readScales(checkpoint, `${path}.scales`, groups, outDim), minCodes };
};
