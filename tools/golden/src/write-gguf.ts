import { join } from 'node:path';
import { saveGguf, saveGgufAdapter } from '@peftjs/gguf';
import { readAdapter, writeAdapter } from '@peftjs/io';
import type { OnExecutor } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';

const root = join(import.meta.dirname, '../../..');

/** The shipped base model. */
const baseFolder: string = join(root, 'packages/base-model/model');

/** An adapter on it that the demo has trained, on its head too, which is tied: a file of llama.cpp's has none. */
const adapterFolder: string = join(root, 'tools/golden/data/peftjs/base/adapter');

/** The storages in which the base model is written. */
export const storages = ['F16', 'Q8_0', 'Q4_K_M'] as const;

/** The prompts that are continued. */
export const prompts: readonly string[] = ['The white whale', 'It was the best of times, it was'];

/** Writes the base model in each storage, and the adapter without the head's part, also as a folder, into a folder. */
export const writeGgufFiles = async (folder: string, { executor }: OnExecutor): Promise<void> => {
  const model = await loadModel(baseFolder);
  for (const storage of storages) await saveGguf(model, join(folder, `${storage}.gguf`), { executor, storage });
  const { config, tensors } = await readAdapter(adapterFolder);
  const isHead = (name: string): boolean => name.includes('lm_head');
  const targets = config.raw['target_modules'] as readonly string[];
  await writeAdapter(
    join(folder, 'adapter'),
    { ...config.raw, target_modules: targets.filter((name) => !isHead(name)) },
    new Map(
      [...tensors].flatMap(([name, { shape, data }]) => (isHead(name) ? [] : [[name, { shape, data }] as const])),
    ),
  );
  await saveGgufAdapter(join(folder, 'adapter'), join(folder, 'adapter.gguf'), { base: model });
};
