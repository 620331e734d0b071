import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { readRunConfig } from '../config/read.ts';
import { placeKind } from '../place-kind.ts';
import { resultOf, runFiles } from '../train/run-folder.ts';
import { trainRun } from '../train/train-run.ts';

/** `peftjs resume`: goes on with a run from its last checkpoint, as it would have gone on. Throws `bad-option` for one that is at its end. */
export const run = async ({ args: [dir], context }: Call): Promise<void> => {
  if ((await placeKind(dir!)) !== 'run') throw new PeftError('bad-option', `resume: ${dir} is no folder of a run`);
  if (await resultOf(dir!))
    throw new PeftError('bad-option', `resume: ${dir} is at its end; its adapter is ${runFiles(dir!).adapter}`);
  return trainRun(await readRunConfig(runFiles(dir!).config, []), context, { dir: dir! });
};
