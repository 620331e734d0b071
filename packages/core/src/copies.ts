import { evaluate, PeftError, reference, sameShape, type Tensor } from '@peftjs/tensor';
import { type Model, storedValues } from '@peftjs/transformer';
import type { State } from './method.ts';

/** The base's own tensor of a name in an adapter's file; undefined where there is none, null where it is not stored plainly. */
const ownTensor = ({ linears, norms, embeddings }: Model, name: string): Tensor | null | undefined => {
  const [, path = '', part = ''] = /^(.*?)(?:\.base_layer)?\.(weight|bias)$/.exec(name) ?? [];
  const values = part === 'weight' ? embeddings.get(path)?.weight : undefined;
  if (values) return values;
  const layer = linears.get(path);
  if (layer && !storedValues(layer)) return null;
  return (layer?.dense() ?? norms.get(path))?.[part as 'weight' | 'bias'] ?? undefined;
};

/** Largest difference, by the largest value: 2⁻⁸ is that of bf16. */
const limit = 2 ** -8;

const differs = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  for (let i = 0; i < a.length; i++) {
    const allowed = limit * Math.max(Math.abs(a[i]!), Math.abs(b[i]!)) + 1e-30;
    if (!(Math.abs(a[i]! - b[i]!) <= allowed)) return true;
  }
  return false;
};

/** A file's tensors without copies of the base's, and the faults of those copies. */
export const copyFaults = async (
  base: Model,
  state: State,
  wanted: Pick<ReadonlyMap<string, unknown>, 'has'>,
): Promise<{ readonly kept: State; readonly problems: readonly string[] }> => {
  const kept = new Map(state);
  const problems: string[] = [];
  for (const [name, { shape, data }] of state) {
    const own = wanted.has(name) ? undefined : ownTensor(base, name);
    if (own === undefined) continue;
    if (own === null) problems.push(`${name} cannot be compared with a quantised layer`);
    else if (!sameShape(own.shape, shape)) problems.push(`${name} is [${shape}], the base has [${own.shape}]`);
    else {
      const { values } = await evaluate({ values: own }, { executor: reference() });
      if (differs(data as Float32Array, values!)) problems.push(`${name} has other values than the base`);
    }
    kept.delete(name);
  }
  return { kept, problems };
};

/**
 * A file's tensors without copies of the base's: Hugging Face PEFT saves embeddings and heads with an adapter that targets them
 * (`save_embedding_layers`), and loading it overwrites the base's with them. Throws `state-mismatch` where such a copy is another than the
 * base has. Tensors of the adapter's own (`wanted`), and those that nobody knows, are left.
 */
export const withoutCopies = async (
  base: Model,
  state: State,
  wanted: ReadonlyMap<string, unknown>,
): Promise<State> => {
  const { kept, problems } = await copyFaults(base, state, wanted);
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `the file holds layers of a base of its own (save_embedding_layers): ${problems.join('; ')}. Load the base that it was made with, or save it with save_embedding_layers=False.`,
    );
  return kept;
};
