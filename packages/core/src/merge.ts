import { type Executor, evaluate, PeftError, type Tensor, type Variable, variable } from '@peftjs/tensor';
import {
  type CausalLM,
  type Dense,
  denseLinear,
  type Embedding,
  isDenseLinear,
  type Linear,
  type Norm,
  type Path,
} from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import type { Method } from './method.ts';

/** How `merge` stores what it computed. */
export interface MergeOptions {
  /** `base` (default): each layer in its own format, a quantised one quantised anew. `dense`: changed layers as plain floats, without that error. */
  readonly format?: 'base' | 'dense';
}

/** A model with an adapter folded in. */
export interface Merged {
  readonly model: CausalLM;
  /**
   * The error of storing the merged values in the base's format, by layer: ‖stored − exact‖ / ‖exact‖ (Frobenius). Only layers that do not
   * hold their values as they are.
   */
  readonly errors: ReadonlyMap<Path, number>;
}

/** Values computed now, as variables with the names of the tensors they stand for. */
const frozen = async (
  path: Path,
  values: Readonly<Record<string, Tensor | null>>,
  executor: Executor,
): Promise<Record<string, Variable>> => {
  const given = Object.entries(values).filter((e): e is [string, Tensor] => e[1] !== null);
  const data = await evaluate(Object.fromEntries(given), executor);
  return Object.fromEntries(given.map(([name, t]) => [name, variable(`${path}.${name}`, t.shape, data[name]!)]));
};

const relativeError = async (stored: Tensor, exact: Tensor, executor: Executor): Promise<number> => {
  const { a, b } = await evaluate({ a: stored, b: exact }, executor);
  let [error, norm] = [0, 0];
  for (let i = 0; i < a!.length; i++) {
    error += (a![i]! - b![i]!) ** 2;
    norm += b![i]! ** 2;
  }
  return norm === 0 ? Math.sqrt(error) : Math.sqrt(error / norm);
};

const changed = <T>(now: ReadonlyMap<Path, T>, before: ReadonlyMap<Path, T>): [Path, T][] =>
  [...now].filter(([path, part]) => part !== before.get(path));

const singles = (method: Method): readonly Method[] => method.parts?.flatMap(singles) ?? [method];

/**
 * The base model with the adapter folded in: W' = `dense()` of each changed layer, computed now on `executor` and encoded in the layer's own
 * storage format. Inference then costs what the base costs. Throws `not-mergeable`, by name, when a method depends on its input.
 */
export const merge = async (
  { base, methods, model }: Adapted,
  executor: Executor,
  { format = 'base' }: MergeOptions = {},
): Promise<Merged> => {
  const refusing = methods.flatMap(singles).filter((m) => !m.merges);
  if (refusing.length > 0)
    throw new PeftError(
      'not-mergeable',
      `merge: ${refusing.map((m) => m.name).join(', ')} does more than change weights; use the view as it is`,
    );
  const linears = new Map<Path, Linear>();
  const errors = new Map<Path, number>();
  for (const [path, layer] of changed(model.linears, base.linears)) {
    const { weight, bias = null } = await frozen(path, { ...layer.dense() }, executor);
    const exact: Dense = { weight: weight!, bias };
    const stored = format === 'dense' ? denseLinear(exact) : base.linears.get(path)!.encode(exact);
    if (!isDenseLinear(stored)) errors.set(path, await relativeError(stored.dense().weight, exact.weight, executor));
    linears.set(path, stored);
  }
  const norms = new Map<Path, Norm>();
  for (const [path, norm] of changed(model.norms, base.norms)) {
    const { weight, bias = null } = await frozen(path, { weight: norm.weight, bias: norm.bias }, executor);
    norms.set(path, base.norms.get(path)!.encode({ weight: weight!, bias }));
  }
  const embeddings = new Map<Path, Embedding>();
  for (const [path, embedding] of changed(model.embeddings, base.embeddings)) {
    const { weight } = await frozen(path, { weight: embedding.weight }, executor);
    embeddings.set(path, base.embeddings.get(path)!.encode(weight!));
  }
  return { model: base.with({ linears, norms, embeddings }), errors };
};
