import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encode } from 'fast-png';
import { unseenPicturesDir } from '../src/index.ts';
import { debianFolder, fashionPictures, side, unseen } from './fashion.ts';

// Writes the first pictures of each class that the model never sees as PNG files: to learn from out of the training part, to test on out of the test part.
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: debianFolder },
    each: { type: 'string', default: '100' },
    out: { type: 'string', default: unseenPicturesDir() },
  },
});
const each = Number(values.each);

for (const [part, folder] of [
  ['train', 'train'],
  ['t10k', 'test'],
] as const)
  for (const name of unseen) {
    const into = join(values.out, folder, name);
    rmSync(into, { recursive: true, force: true });
    mkdirSync(into, { recursive: true });
    const { pixels } = fashionPictures(values.data, part, [name]);
    for (const [i, data] of pixels.slice(0, each).entries())
      writeFileSync(
        join(into, `${String(i + 1).padStart(3, '0')}.png`),
        encode({ width: side, height: side, channels: 1, depth: 8, data }),
      );
  }
