import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { writeFileAtomic } from '@peftjs/io';
import { paths } from '../paths.ts';
import { inChild } from '../quantized/in-child.ts';
import { type QuantizedOptions, quantizedFiles } from '../quantized/quantized.ts';
import { outcomesIn } from './results.ts';
import { forms, seeds, settings } from './runs.ts';
import type { Tuned } from './tune.ts';

/** Makes the runs that are missing, each in a process of its own, gradients first, and writes the page anew. */
export const int8Quality = async ({ model, threads, out, docs, say }: QuantizedOptions): Promise<void> => {
  await mkdir(out, { recursive: true });
  const label = model === baseModelDir() ? '@peftjs/base-model' : basename(model);
  const { runs, gradients } = outcomesIn(out);
  const child = 'int8/child.ts';
  if (!(await gradients.read()).some((line) => line.model === label)) {
    const python = join(paths.peers, 'python/bin/python');
    const torch = existsSync(python) ? [python] : [];
    if (torch.length === 0) say('left out: PyTorch (pnpm bench --setup installs it)');
    const args = [model, String(threads), 'gradients', ...torch];
    const cosines = await inChild<Readonly<Record<string, number>>>(child, args);
    await gradients.add({ model: label, ...settings, cosines });
    for (const [form, cosine] of Object.entries(cosines)) say(`${form}: cosine ${cosine.toFixed(4)}`);
  }
  for (const seed of seeds)
    for (const { name: form } of forms) {
      const done = await runs.read();
      if (done.some((line) => line.model === label && line.form === form && line.seed === seed)) continue;
      const tuned = await inChild<Tuned>(child, [model, String(threads), 'run', form, String(seed)]);
      await runs.add({ model: label, form, seed, ...settings, ...tuned });
      const { before, after, seconds } = tuned;
      say(`${form}, seed ${seed}: ${before.toFixed(4)} -> ${after.toFixed(4)} (${seconds} s)`);
    }
  for (const [name, text] of await quantizedFiles(out)) await writeFileAtomic(join(docs, name), text);
};
