import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryFiles } from '@peftjs/io';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { folder, goldens } from '../folder.ts';
import type { FileMap } from '../mutate-files.ts';
import type { Target } from '../target.ts';

const dir = join(goldens, 'python/models');

/** The same weights in two shards with their index. */
const sharded = (files: FileMap): FileMap => {
  const weights = files.get('model.safetensors')!;
  const length = Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
  const names = Object.keys(JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)))).filter(
    (name) => name !== '__metadata__',
  );
  const index = { weight_map: Object.fromEntries(names.map((name) => [name, 'model-1.safetensors'])) };
  return new Map([
    ['config.json', files.get('config.json')!],
    ['model-1.safetensors', weights],
    ['model.safetensors.index.json', new TextEncoder().encode(JSON.stringify(index))],
  ]);
};

/** Model folders: the model is built of what they hold, and what is read later is read. */
export const models: Target = {
  name: 'models',
  seeds: async () => {
    const all = await Promise.all(
      (await readdir(dir)).map((name) => folder(join(dir, name), (file) => !file.startsWith('generation'))),
    );
    return [...all, ...all.filter((files) => files.has('model.safetensors')).map(sharded)];
  },
  run: async (input) => {
    const model = await loadModel(memoryFiles(input));
    const [embedding] = model.embeddings.values();
    await evaluate({ table: embedding!.weight! }, { executor: reference() });
    const ids = constant(Int32Array.of(0, 1, 2), [1, 3]);
    const { logits } = await evaluate({ logits: model.logits(ids) }, { executor: reference() });
    if (logits!.length === 0) throw new Error('a model without logits');
  },
};
