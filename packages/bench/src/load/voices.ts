import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { attach, save } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { normalValues, randomSource, sizeOf } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';

/** How far the drawn B matrices move the base: far enough that each adapter answers otherwise. */
const spread = 0.04;

/** Writes so many LoRA adapters of the shipped model, their values drawn from a seed each, into folders `voice-0`, `voice-1`, …; gives these. */
export const makeVoices = async (count: number, dir: string): Promise<readonly string[]> => {
  const base = await loadModel(baseModelDir());
  const executor = await cpu({ threads: 1 });
  const made: string[] = [];
  for (let i = 0; i < count; i++) {
    const adapted = attach(base, [lora({ rank: 8 })], { seed: i });
    for (const [name, variable] of adapted.state)
      if (name.endsWith('lora_B'))
        await executor.write(variable, normalValues(sizeOf(variable.shape), spread, randomSource(i, name)));
    const folder = join(dir, `voice-${i}`);
    await save(adapted, folder, { executor, baseModel: '@peftjs/base-model' });
    made.push(folder);
    executor.release(adapted.state.values());
  }
  await executor.close();
  return made;
};
