import { PeftError } from '@peftjs/tensor';
import { bytesOf } from '../lower/emitter.ts';
import { wholeProductType } from '../lower/whole-products.ts';
import { encodeModel, type ValueProto } from '../proto/model.ts';
import type { Runtime } from './runtime.ts';

/** Values of a row that are multiplied: enough for every way in which ONNX Runtime goes about it. */
const depth = 64;

const scalar = (name: string, type: 'float' | 'uint8', data: ArrayBufferView) => ({
  name,
  type,
  dims: [],
  data: bytesOf(data),
});

/** The sum of `depth` products of 255 and 127, in each output, as this processor has it. */
const largestSums = async (runtime: Runtime): Promise<Float32Array> => {
  const value = (name: string, type: ValueProto['type'], dims: readonly number[]): ValueProto => ({ name, type, dims });
  const model = encodeModel({
    nodes: [
      {
        name: 'product',
        type: wholeProductType,
        domain: 'com.microsoft',
        inputs: ['a', 'b', 'one', 'one', 'zero'],
        outputs: ['y'],
        attributes: {},
      },
    ],
    inputs: [value('a', 'uint8', [16, depth]), value('b', 'int8', [depth, 16])],
    outputs: [value('y', 'float', [16, 16])],
    initializers: [scalar('one', 'float', Float32Array.of(1)), scalar('zero', 'uint8', Uint8Array.of(0))],
  });
  const session = await runtime.InferenceSession.create(model, { logSeverityLevel: 4 });
  try {
    const a = new runtime.Tensor('uint8', new Uint8Array(16 * depth).fill(255), [16, depth]);
    const b = new runtime.Tensor('int8', new Int8Array(16 * depth).fill(127), [depth, 16]);
    return (await session.run({ a, b }))['y']!.data as Float32Array;
  } finally {
    await session.release();
  }
};

/** Throws `device-unavailable` unless sums are exact: processors without VNNI add two products in 16 bits, where large ones do not fit. */
export const checkSums = (sums: Float32Array): void => {
  const exact = depth * 255 * 127;
  const wrong = sums.find((sum) => sum !== exact);
  if (wrong !== undefined)
    throw new PeftError(
      'device-unavailable',
      `cpu: this processor adds products of 8-bit numbers wrongly (${wrong} for ${exact}), as those without VNNI do; leave out compute: 'int8'`,
    );
};

const checked = new WeakMap<Runtime, Promise<void>>();

/** Tries it once. Throws `device-unavailable`. */
export const mustMultiplyWhole = (runtime: Runtime): Promise<void> => {
  const known = checked.get(runtime) ?? largestSums(runtime).then(checkSums);
  checked.set(runtime, known);
  return known;
};

/** Rows, depth and block of the product that is tried. */
const tried = { rows: 3, block: 32, depth: 128 };

/** Whether products of the largest codes and inputs come out as they are, in 4 and 8 bits: two of them in 16 bits would not fit. */
const triesBits = async (runtime: Runtime, bits: 4 | 8): Promise<boolean> => {
  const { rows, block, depth } = tried;
  const [outDim, blocks] = [16, depth / block];
  const model = encodeModel({
    nodes: [
      {
        name: 'product',
        type: 'MatMulNBits',
        domain: 'com.microsoft',
        inputs: ['x', 'codes', 'steps'],
        outputs: ['y'],
        attributes: { K: depth, N: outDim, bits, block_size: block, accuracy_level: 4 },
      },
    ],
    inputs: [{ name: 'x', type: 'float', dims: [rows, depth] }],
    outputs: [{ name: 'y', type: 'float', dims: [rows, outDim] }],
    initializers: [
      {
        name: 'codes',
        type: 'uint8',
        dims: [outDim, blocks, (block * bits) / 8],
        // Half of the outputs have the largest code, half the least.
        data: new Uint8Array((outDim * depth * bits) / 8).fill(255, (outDim * depth * bits) / 16),
      },
      {
        name: 'steps',
        type: 'float',
        dims: [outDim, blocks],
        data: bytesOf(new Float32Array(outDim * blocks).fill(1)),
      },
    ],
  });
  const session = await runtime.InferenceSession.create(model, { logSeverityLevel: 4 });
  try {
    const x = Float32Array.from({ length: rows * depth }, (_, i) => (i < depth ? 127 : -127));
    const y = (await session.run({ x: new runtime.Tensor('float32', x, [rows, depth]) }))['y']!.data as Float32Array;
    const [least, largest] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
    return y.every((sum, i) => {
      const exact = (i < outDim ? 127 : -127) * depth * (i % outDim < outDim / 2 ? least : largest);
      return Math.abs(sum - exact) <= 1e-5 * Math.abs(exact);
    });
  } finally {
    await session.release();
  }
};

const bitsTried = new WeakMap<Runtime, Promise<boolean>>();

/** Whether ONNX Runtime's product by matrices of few bits is exact on this processor; tried once. One that has no such product is not. */
export const multipliesBits = (runtime: Runtime): Promise<boolean> => {
  const known =
    bitsTried.get(runtime) ??
    Promise.all([triesBits(runtime, 4), triesBits(runtime, 8)]).then(
      (all) => all.every(Boolean),
      () => false,
    );
  bitsTried.set(runtime, known);
  return known;
};
