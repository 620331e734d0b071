import { memoryFiles, openSafetensors, type WriteTensor, writeSafetensors } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import type { Target } from '../target.ts';

const path = 'x.safetensors';

const tensors = new Map<string, WriteTensor>([
  ['a.weight', { dtype: 'F32', shape: [2, 3], data: new Float32Array(6).fill(1.5) }],
  ['b.weight', { dtype: 'F16', shape: [4], data: Uint16Array.of(1, 2, 3, 4) }],
  ['c', { dtype: 'BF16', shape: [2, 0], data: new Uint16Array(0) }],
  ['d', { dtype: 'I64', shape: [2], data: BigInt64Array.of(1n, -(2n ** 60n)) }],
  ['e', { dtype: 'F64', shape: [], data: Float64Array.of(1e300) }],
  ['f', { dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 2) }],
]);

/** Files of safetensors: all tensors of what opens are read. */
export const safetensors: Target = {
  name: 'safetensors',
  seeds: async () => {
    const files = memoryFiles();
    await writeSafetensors({ files, path }, tensors, { format: 'pt', note: 'x' });
    const alone = memoryFiles();
    await writeSafetensors({ files: alone, path }, new Map([...tensors].slice(0, 1)), {});
    return Promise.all([files, alone].map(async (f) => new Map([[path, await f.read(path)]])));
  },
  run: async (input) => {
    await using file = await openSafetensors({ files: memoryFiles(input), path });
    for (const name of file.tensors.keys()) {
      await file.read(name);
      await file.readFloat32(name).catch((error: unknown) => {
        // Whole numbers that f32 cannot hold are refused by name.
        if (!isPeftError(error)) throw error;
      });
    }
  },
};
