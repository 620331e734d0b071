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
