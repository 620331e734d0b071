import { describe, PeftError, sameShape, shapeError, type Tensor } from '@peftjs/tensor';
import type { PassOptions } from './model.ts';
import type { Pass, Sequence } from './pass.ts';
import type { Inputs } from './states.ts';
import type { TowerSpec } from './tower-spec.ts';

/** The rows of pictures. Throws `bad-dtype`, `bad-shape` for sizes that the tower does not read. */
const rowsOfPicture = (
  { reads, picture }: TowerSpec & { readonly picture: NonNullable<TowerSpec['picture']> },
  pixels: Tensor,
  batch: number,
): number => {
  const { ids: name, picture: sizes, anySize = false } = reads;
  if (pixels.dtype !== 'f32')
    throw new PeftError(
      'bad-dtype',
      `model: ${name} must be f32 [batch, channels, height, width], got ${describe(pixels)}`,
    );
  const [channels, height, width] = sizes!;
  const [, , ownHeight = 0, ownWidth = 0] = pixels.shape;
  const own = [batch, channels, ...(anySize ? [ownHeight, ownWidth] : [height, width])];
  const rows = picture.rows(ownHeight, ownWidth);
  if (sameShape(pixels.shape, own) && rows > 0) return rows;
  throw shapeError(
    'model',
    [pixels],
    anySize
      ? `${name} must be [${batch}, ${channels}, height, width], at least as large as a patch`
      : `${name} must be [${batch}, ${channels}, ${height}, ${width}], the size that the model was trained with; resize the pictures`,
  );
};

/** The sequences that a tower goes over; `options` are the pass's own for its main tower alone. Throws `bad-shape`, `bad-dtype`, `bad-option`. */
export const sequenceOf = (spec: TowerSpec, inputs: Inputs, pass: Pass, options: PassOptions): Sequence => {
  const { reads, picture } = spec;
  const ids = inputs[reads.ids];
  if (!ids)
    throw new PeftError(
      'bad-option',
      `model: the input ${reads.ids} is missing; got ${Object.keys(inputs).join(', ') || 'none'}`,
    );
  if (picture) {
    const tokens = rowsOfPicture({ ...spec, picture }, ids, pass.batch);
    return { tower: spec.name, tokens, mask: null, positions: null, continues: false };
  }
  if (ids.dtype !== 'i32')
    throw new PeftError('bad-dtype', `model: tokens must be i32 [batch, tokens], got ${describe(ids)}`);
  if (ids.shape.length !== 2 || ids.shape[0] === 0 || ids.shape[1] === 0)
    throw shapeError('model', [ids], 'tokens must be i32 [batch, tokens] with at least one token');
  const mask = inputs[reads.mask] ?? null;
  if (ids.shape[0] !== pass.batch)
    throw shapeError('model', [ids], `${reads.ids} must have as many sequences as the other inputs, ${pass.batch}`);
  if (mask && (mask.shape.length !== 2 || mask.shape[0] !== pass.batch))
    throw shapeError(reads.mask, [mask], `must be f32 [batch, keys] with batch ${pass.batch}`);
  const { positions, cache } = options;
  return {
    tower: spec.name,
    tokens: ids.shape[1]!,
    mask,
    positions: positions ?? null,
    continues: cache?.continues ?? false,
  };
};
