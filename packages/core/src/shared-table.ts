import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';

/**
 * Refuses to adapt, or to train whole, a table of tokens that several towers read: Hugging Face PEFT has a module for each of them, with an
 * adapter of its own, and one on the table itself changes nothing there. Throws `no-match`.
 */
export const requireOwnTables = ({ towers }: Model, paths: readonly Path[], method: string): void => {
  for (const path of paths) {
    const readers = towers.filter(({ tokenTable }) => tokenTable === path);
    if (readers.length > 1)
      throw new PeftError(
        'no-match',
        `${method}: ${path} is one table for ${readers.map(({ name }) => name).join(' and ')}, and Hugging Face PEFT would adapt it for each apart, which is not computed here. Leave it out, or train rows of it: trainableTokens.`,
      );
  }
};
