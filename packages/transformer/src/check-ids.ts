import { describe, PeftError, sameShape, shapeError, type Tensor } from '@peftjs/tensor';

/** Checks token ids, and labels that go with them. Throws `bad-dtype`, `bad-shape`. */
export const checkIds = (who: string, ids: Tensor, labels: Tensor = ids): void => {
  for (const t of [ids, labels])
    if (t.dtype !== 'i32')
      throw new PeftError('bad-dtype', `${who}: tokens must be i32 [batch, tokens], got ${describe(t)}`);
  if (ids.shape.length !== 2 || ids.shape[0] === 0 || ids.shape[1] === 0)
    throw shapeError(who, [ids], 'tokens must be i32 [batch, tokens] with at least one token');
  if (!sameShape(ids.shape, labels.shape))
    throw shapeError(who, [ids, labels], 'labels must have the shape of the tokens');
};
