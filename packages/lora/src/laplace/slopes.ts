import { grad } from '@peftjs/autograd';
import { PeftError, reshape, slice, sum, type Tensor } from '@peftjs/tensor';
import type { Call, Inputs, Linear, Path, TaskModel } from '@peftjs/transformer';
import { type ClassChoice, classLogits } from './classes.ts';

/** A use of a layer in a pass. */
export interface Use {
  /** Its input, [batch, rows, in]. */
  readonly x: Tensor;
  /** By class ∂logit/∂y of its output, [batch, rows, out] each. */
  readonly slopes: readonly Tensor[];
  readonly call: Call;
}

/** A pass over a batch, differentiated. */
export interface Slopes {
  /** [batch, classes] */
  readonly logits: Tensor;
  /** By path: once, or several times where depths share a layer. */
  readonly uses: ReadonlyMap<Path, readonly Use[]>;
}

/**
 * The logits of a batch, and their gradients by the outputs of some layers: one backward pass a class, which gives the Jacobian of every row at once, since rows do not
 * depend on each other. Throws `bad-option` for a layer that the pass does not use.
 */
export const slopesOf = (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  inputs: Inputs,
  classes: ClassChoice,
): Slopes => {
  const seen: { readonly path: Path; readonly x: Tensor; readonly y: Tensor; readonly call: Call }[] = [];
  const watched = paths.map((path): [Path, Linear] => {
    const layer = model.linears.get(path)!;
    const apply: Linear['apply'] = (x, call) => {
      const y = layer.apply(x, call);
      seen.push({ path, x, y, call });
      return y;
    };
    return [path, { ...layer, apply }];
  });
  const logits = classLogits(model.with({ linears: new Map(watched) }), inputs, classes);
  const outputs = seen.map(({ y }) => y);
  const byClass = Array.from({ length: classes.count }, (_, k) =>
    grad(sum(slice(logits, { axis: 1, start: k, end: k + 1 })), outputs),
  );
  const batch = logits.shape[0]!;
  const byRow = (t: Tensor): Tensor => reshape(t, [batch, -1, t.shape.at(-1)!]);
  const uses = new Map<Path, Use[]>(paths.map((path) => [path, []]));
  for (const [i, { path, x, call }] of seen.entries())
    uses.get(path)!.push({ x: byRow(x), slopes: byClass.map((slopes) => byRow(slopes[i]!)), call });
  const idle = paths.filter((path) => uses.get(path)!.length === 0);
  if (idle.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: ${idle.slice(0, 3).join(', ')}${idle.length > 3 ? ', …' : ''} takes no part in the classes' logits; train a LoRA with another target`,
    );
  return { logits, uses };
};
