import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadGguf, saveGguf } from '@peftjs/gguf';
import type { OnExecutor } from '@peftjs/tensor';
import { type CausalLM, loadModel, saveModel } from '@peftjs/transformer';
import type { GenerateTask } from '../tasks/task.ts';

/** A tokenizer that llama.cpp takes, of tokens that tell their number: `t17`. A stack that answers with text so answers with ids. */
const numbered = (size: number): unknown => ({
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: Object.fromEntries(Array.from({ length: size }, (_, i) => [`t${i}`, i])), merges: [] },
});

/** Writes `model.gguf` in a storage, and `model`: the values that it holds, in Hugging Face's layout. */
export const writeGgufModel = async (
  model: CausalLM,
  dir: string,
  storage: NonNullable<GenerateTask['storage']>,
  { executor }: OnExecutor,
): Promise<void> => {
  const whole = join(dir, 'whole');
  await mkdir(whole);
  await saveModel(model, whole, { executor });
  await writeFile(join(whole, 'tokenizer.json'), JSON.stringify(numbered(model.config.vocabSize)));
  const file = join(dir, 'model.gguf');
  await saveGguf(await loadModel(whole), file, { executor, storage });
  await saveModel(await loadGguf(file), join(dir, 'model'), { executor });
  await rm(whole, { recursive: true });
};
