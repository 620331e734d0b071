import { PeftError } from '@peftjs/tensor';
import {
  type Linear,
  type Model,
  type Path,
  requireModel,
  storedValues,
  type Target,
  targeted,
} from '@peftjs/transformer';
import { int8 } from './integers.ts';
import { encodeLinear, storedBehind } from './packed-linear.ts';

/**
 * A view of a model whose targeted layers (default: all but the output head) multiply in 8 bits, however they are stored: layers of a quantised file or of `quantize` keep their bytes and are computed as `compute: 'int8'` of their format
 * says; those in floats are stored so too, as `int8({ compute: 'int8' })`. Throws `no-match`; `bad-option`, by name, for layers that are adapted, trained, or take their inputs scaled or in another order.
 */
export const computeInt8 = <M extends Model>(model: M, target: Target = 'all-linear'): M => {
  requireModel('computeInt8', model);
  const format = int8({ compute: 'int8' });
  const computed = (path: Path, layer: Linear): Linear | null => {
    const [stored, values] = [storedBehind(layer), storedValues(layer)];
    if (stored) return stored.withCompute('int8');
    return values && encodeLinear(format, `${path}.weight`, values);
  };
  const layers = targeted(model.linears.keys(), target, 'computeInt8').map(
    (path) => [path, computed(path, model.linears.get(path)!)] as const,
  );
  const odd = layers.filter(([, layer]) => !layer).map(([path]) => path);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `computeInt8: ${odd.join(', ')} are neither floats of a file nor packed values alone; call it on the base model, then attach`,
    );
  return model.with({ linears: new Map(layers as readonly (readonly [Path, Linear])[]) });
};
