import { version } from '../package.json';
import { PeftError } from './error.ts';

/** One copy of this package in a process, known by identity. */
export interface Copy {
  readonly version: string;
}

/** This copy. */
export const thisCopy: Copy = { version };

/**
 * Throws `mixed-copies` for what another copy of this package made. Copies number their nodes alike and hold records of ops of their own, so
 * a graph of both would compute something else without a word.
 */
export const checkCopy = (who: string, made: { readonly copy: Copy }): void => {
  if (made.copy === thisCopy) return;
  throw new PeftError(
    'mixed-copies',
    `${who}: got a tensor made by @peftjs/tensor ${made.copy?.version ?? '(unknown)'}, but this is another copy, @peftjs/tensor ${version}; ` +
      'their graphs cannot be mixed. See `npm ls @peftjs/tensor` for who brings which, give all @peftjs packages one version, and run `npm dedupe`',
  );
};
