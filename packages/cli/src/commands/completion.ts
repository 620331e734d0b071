import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { completions, shells } from '../completion.ts';
import { hint } from '../nearest.ts';

/** `peftjs completion`: the script by which a shell completes commands, flags and names. It calls `peftjs complete -- WORDS`. Throws `bad-option` for another shell. */
export const run = async ({ args: [shell] }: Call): Promise<void> => {
  if (!shells.includes(shell as (typeof shells)[number]))
    throw new PeftError('bad-option', `completion: there is no script for ${shell}${hint(shell!, shells)}`);
  completions([], { of: () => [], runFlags: [] }).setup('peftjs', 'peftjs', shell!);
};
