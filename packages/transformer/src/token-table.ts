import { PeftError } from '@peftjs/tensor';
import type { Embedding } from './embedding.ts';
import type { Model } from './model.ts';
import type { Tower } from './tower.ts';

/** The embedding of a tower's tokens. Throws `bad-option` for a tower that reads pictures; `who` is named. */
export const tokenTableOf = ({ embeddings, layout }: Model, { tokenTable }: Tower, who: string): Embedding => {
  const found = tokenTable === null ? undefined : embeddings.get(tokenTable);
  if (found) return found;
  throw new PeftError(
    'bad-option',
    `${who}: ${layout.modelType} has no table of tokens, as it reads pictures; choose a method that needs none`,
  );
};
