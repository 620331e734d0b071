import { type DType, describe, PeftError, type Shape, sameShape, shapeError, type Tensor } from '@peftjs/tensor';
import type { Inputs } from '../states.ts';

/** A column of a batch, by default `labels`. Throws `bad-option` where it is missing, `bad-dtype`, `bad-shape`. */
export const labelsOf = (
  task: string,
  inputs: Inputs,
  shape: Shape,
  dtype: DType = 'i32',
  column = 'labels',
): Tensor => {
  const labels = inputs[column];
  if (!labels)
    throw new PeftError(
      'bad-option',
      `${task}: a loss needs the input ${column}, ${dtype} [${shape}]; got ${Object.keys(inputs).join(', ')}`,
    );
  if (labels.dtype !== dtype)
    throw new PeftError('bad-dtype', `${task}: ${column} must be ${dtype} [${shape}], got ${describe(labels)}`);
  if (!sameShape(labels.shape, shape)) throw shapeError(task, [labels], `${column} must be ${dtype} [${shape}]`);
  return labels;
};
