import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadPyreft } from '@peftjs/adapters';
import { memoryFiles } from '@peftjs/io';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { folder, goldens } from '../folder.ts';
import type { Target } from '../target.ts';

const dir = join(goldens, 'pyreft');

let base: Promise<CausalLM> | undefined;

/** Folders of pyreft: each is attached to the tiny Llama. */
export const pyreft: Target = {
  name: 'pyreft',
  seeds: async () => {
    const entries = await readdir(dir, { withFileTypes: true });
    return Promise.all(entries.filter((own) => own.isDirectory()).map(({ name }) => folder(join(dir, name))));
  },
  context: () => folder(join(goldens, 'python/models/plain')),
  run: async (input, context) => {
    base ??= loadModel(memoryFiles(context));
    await loadPyreft(await base, memoryFiles(input), { prefixPositions: 1, suffixPositions: 2 });
  },
};
