import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { parseOverrides } from '../config/overrides.ts';
import { readRunConfig } from '../config/read.ts';
import { trainRun } from '../train/train-run.ts';

/** `peftjs train`: a run by a YAML file, by flags, or both. */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const { overrides, rest } = parseOverrides(args);
  if (rest.length > 1) throw new PeftError('bad-option', `train: takes one file, got ${rest.join(', ')}`);
  const config = await readRunConfig(rest[0], overrides);
  return trainRun(config, context, { dry: options['dryRun'] === true });
};
