import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryFiles } from '@peftjs/io';
import { loadConfig, loadGenerationConfig } from '@peftjs/transformer';
import { folder, goldens } from '../folder.ts';
import type { Target } from '../target.ts';

const dir = join(goldens, 'python/models');

/** `config.json` and `generation_config.json`. */
export const configs: Target = {
  name: 'configs',
  seeds: async () =>
    Promise.all((await readdir(dir)).map((name) => folder(join(dir, name), (file) => file.endsWith('config.json')))),
  run: async (input) => {
    const files = memoryFiles(input);
    await loadConfig(files).finally(() => loadGenerationConfig(files));
  },
};
