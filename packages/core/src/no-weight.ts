import { PeftError } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';

/** The `dense` of a layer that a method makes depend on more than its weight: it throws `not-mergeable`, and says why. */
export const noWeight =
  (method: string, path: Path, why: string): (() => never) =>
  () => {
    throw new PeftError('not-mergeable', `${method}: ${path} ${why}, so it has no weight of its own`);
  };
