import { PeftError } from '@peftjs/tensor';
import type { Model, Tower } from '@peftjs/transformer';

/** The tower of texts beside one of pictures. Throws `no-match`, with what to use otherwise, where a model does not have both. */
export const textsBesidePictures = ({ towers, layout }: Model, method: string): Tower => {
  const texts = towers.find(({ reads }) => !reads.picture);
  if (texts && towers.some(({ reads }) => reads.picture)) return texts;
  throw new PeftError(
    'no-match',
    `${method}: is for models that compare pictures with texts, such as CLIP, and ${layout.modelType} does not; for texts alone use promptTuning, for pictures vpt`,
  );
};
