import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';

/** Throws `bad-data` where a file is not the one that Python saw, by its SHA-256. */
export const requireSameFiles = async (dir: string, hashes: Readonly<Record<string, string>>): Promise<void> => {
  for (const [name, expected] of Object.entries(hashes)) {
    const found = createHash('sha256')
      .update(await readFile(join(dir, name)))
      .digest('hex');
    if (found !== expected)
      throw new PeftError(
        'bad-data',
        `${join(dir, name)}: has SHA-256 ${found}, the record was made with ${expected}; let Python check it again`,
      );
  }
};
