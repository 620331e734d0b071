import { PeftError } from '@peftjs/tensor';
import type { Model, Tower } from '@peftjs/transformer';

/**
 * Refuses blocks of unlike width (those of a Swin), by a method's name, where it has tensors that all of them share, or counts on all of them seeing the
 * same rows. `tower`: the one whose blocks they are, by default all. Throws `bad-option` with what to use instead.
 */
export const requireOneWidth = (model: Model, method: string, tower?: Tower): void => {
  const { modelType } = model.layout;
  const widths = new Set((tower ?? model).paths('block').map((path) => model.widthAt(path)));
  if (widths.size > 1)
    throw new PeftError(
      'bad-option',
      `${method}: is for models whose blocks are alike, and those of ${modelType} are of the widths ${[...widths].join(', ')}; use lora, adaptFormer or ssf`,
    );
};
