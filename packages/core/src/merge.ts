import { type Executor, evaluate, PeftError, type Tensor, variable } from '@peftjs/tensor';
import type { CausalLM, Dense, Linear, Path } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';

const frozen = async (path: Path, { weight, bias }: Dense, executor: Executor): Promise<Dense> => {
  const values = await evaluate({ weight, ...(bias && { bias }) }, executor);
  const hold = (name: string, t: Tensor): Tensor => variable(`${path}.${name}`, t.shape, values[name]!);
  return { weight: hold('weight', weight), bias: bias && hold('bias', bias) };
};

/**
 * The base model with the adapter folded in: W' = `dense()` of each changed layer, computed now on `executor` and encoded in the layer's own
 * storage format. Inference then costs what the base costs. Throws `not-mergeable`, by name, when a method depends on its input.
 */
export const merge = async ({ base, methods, patches, model }: Adapted, executor: Executor): Promise<CausalLM> => {
  const wrapped = methods.filter((_, i) => Object.keys(patches[i]!.around ?? {}).length > 0);
  if (wrapped.length > 0)
    throw new PeftError('not-mergeable', `merge: ${wrapped.map((m) => m.name).join(', ')} is no change of weights`);
  const changed = [...model.linears].filter(([path, layer]) => layer !== base.linears.get(path));
  const linears = new Map<Path, Linear>(base.linears);
  for (const [path, layer] of changed)
    linears.set(path, base.linears.get(path)!.encode(await frozen(path, layer.dense(), executor)));
  return base.with({ linears });
};
