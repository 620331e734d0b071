import { denseLinear, type Path } from '@peftjs/transformer';
import type { Patch, Scope } from './method.ts';

/**
 * A patch that trains linear layers whole, from the base's values: `modules_to_save` of Hugging Face PEFT, whose files have their tensors
 * under the layers' own names.
 */
export const wholeLayers = (paths: readonly Path[], scope: Scope): Patch => ({
  linear: new Map(
    paths.map((path) => [
      path,
      (base) => {
        const { weight, bias } = base.dense();
        const own = scope.at(path);
        return denseLinear({
          weight: own.param('weight', weight.shape, weight),
          bias: bias && own.param('bias', bias.shape, bias),
        });
      },
    ]),
  ),
});
