import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { reference } from '@peftjs/tensor';
import { buildModel, loadConfig, randomWeights, saveModel } from '@peftjs/transformer';

/** Makes a random model that is small and takes the base model's tokenizer, and a text to learn. */
export const makeTiny = async (work: string): Promise<{ readonly tiny: string; readonly text: string }> => {
  const [tiny, text] = [join(work, 'tiny'), join(work, 'text.txt')];
  const base = await loadConfig(baseModelDir());
  if (base.modelType !== 'llama') throw new Error('the base model is a Llama');
  const config = {
    ...base,
    hiddenSize: 16,
    intermediateSize: 24,
    layers: 1,
    heads: 2,
    keyValueHeads: 1,
    headDim: 8,
    maxPositions: 64,
  };
  await saveModel(buildModel(config, randomWeights(config, 0)), tiny, { executor: reference() });
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await cp(join(baseModelDir(), name), join(tiny, name));
  await writeFile(text, 'It was the best of times, it was the worst of times, it was the age of wisdom. '.repeat(80));
  return { tiny, text };
};
