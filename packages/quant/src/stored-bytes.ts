import { buildProgram, byteSize } from '@peftjs/tensor';
import { type Model, type Target, targeted } from '@peftjs/transformer';

/**
 * Bytes that the targeted layers of a model (default: all but the output head) hold, biases and adapters in them too; what several layers
 * share counts once. Throws `no-match`.
 */
export const storedBytes = (model: Model, target: Target = 'all-linear'): number => {
  const values = targeted(model.linears.keys(), target, 'storedBytes').flatMap((path) => {
    const { weight, bias } = model.linears.get(path)!.dense();
    return bias ? [weight, bias] : [weight];
  });
  const { variables } = buildProgram({ outputs: Object.fromEntries(values.entries()) });
  return variables.reduce((bytes, v) => bytes + byteSize(v), 0);
};
