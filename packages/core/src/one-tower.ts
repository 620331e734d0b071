import { PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/**
 * Refuses models of several towers, by a method's name, where it would not say which of them it changes. Throws `bad-option` with what to use
 * instead.
 */
export const requireOneTower = ({ towers }: Model, method: string): void => {
  if (towers.length > 1)
    throw new PeftError(
      'bad-option',
      `${method}: is for models of one tower, and this one has ${towers.map(({ name }) => name).join(' and ')}; adapt its layers instead, with lora or ia3`,
    );
};
