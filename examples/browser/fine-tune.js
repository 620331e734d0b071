// What is written once for Node and for a page.
import { attach, save } from '@peftjs/core';
import { loadTokenizer, memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cosine, packTokens, train } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';

/** Trains LoRA five steps on the model in a folder; gives its losses and the adapter's files. */
export const fineTune = async (folder, executor) => {
  const [tokenizer, model] = [await loadTokenizer(folder), await loadModel(folder)];
  const text = 'It was the best of times, it was the worst of times, it was the age of wisdom. '.repeat(12);
  const { context, rows } = packTokens([tokenizer.encode(text)], { context: 16, endOfText: tokenizer.eosId ?? 0 });
  // The same two rows in every step, so that what was learnt shows.
  const data = { context, rows: rows.slice(0, 2) };
  const adapted = attach(model, [lora({ rank: 4, target: ['q_proj', 'v_proj'] })]);
  const schedule = cosine({ learningRate: 1e-3, steps: 5 });
  const { losses } = await train(adapted, { executor, data, steps: 5, batchSize: 2, schedule });
  const files = memoryFiles();
  await save(adapted, files, { executor });
  return { losses: losses.map(({ loss }) => loss), files };
};
