import { join } from 'node:path';
import { memoryFiles, openTorch } from '@peftjs/io';
import { folder, goldens } from '../folder.ts';
import type { Target } from '../target.ts';

/** Files of `torch.save`: all tensors of what opens are read. */
export const torch: Target = {
  name: 'torch',
  seeds: async () => {
    const files = await folder(join(goldens, 'io/torch'), (name) => name.endsWith('.bin'));
    return [...files.values()].map((bytes) => new Map([['x.bin', bytes]]));
  },
  run: async (input) => {
    await using file = await openTorch({ files: memoryFiles(input), path: 'x.bin' });
    for (const name of file.tensors.keys()) await file.read(name);
  },
};
