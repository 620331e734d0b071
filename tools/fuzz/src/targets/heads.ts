import { join } from 'node:path';
import { adapterHubTask, loadHead } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { loadModel } from '@peftjs/transformer';
import { folder, goldens } from '../folder.ts';
import type { Target } from '../target.ts';

const bert = join(goldens, 'python/families/bert-sequence');

/** Heads of the adapters library, as safetensors and by `torch.save`: each says its task, with which the model is loaded. */
export const heads: Target = {
  name: 'heads',
  seeds: () => Promise.all(['hub-stack', 'hub-labels'].map((name) => folder(join(bert, name, 'head')))),
  context: () => folder(join(bert, 'model')),
  run: async (input, context) => {
    const files = memoryFiles(input);
    await loadHead(await loadModel(memoryFiles(context), { task: await adapterHubTask(files) }), files);
  },
};
