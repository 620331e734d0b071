import { writeSync } from 'node:fs';
import { forms } from './runs.ts';
import { compareGradients, tune } from './tune.ts';

/**
 * One part of the task in a process of its own. Arguments: the model's folder, threads; then `run`, the form's name and the seed; or `gradients`, and a Python with PyTorch where there is one.
 */
const [dir, threads, what, of, seed] = process.argv.slice(2) as [string, string, 'run' | 'gradients', string?, string?];
const outcome =
  what === 'run'
    ? await tune(dir, forms.find(({ name }) => name === of)!, Number(seed), Number(threads))
    : await compareGradients(
        dir,
        forms.filter(({ against }) => against),
        Number(threads),
        of ?? null,
      );
writeSync(1, `${JSON.stringify(outcome)}\n`);
