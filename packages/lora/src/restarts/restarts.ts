import { type Decision, eachLinear, kaimingUniform, type Patch, type Scope, type Target, zeros } from '@peftjs/core';
import { add, matmul, mul, sizeOf, type Variable } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { deltaOf } from '../low-rank.ts';
import { torchUniform } from '../torch-random.ts';

/** The factors of a layer, and the sum of what they were before they began anew, [out, in]. */
interface Restarted {
  readonly a: Variable;
  readonly b: Variable;
  readonly sum: Variable;
  /** The change that was added last; null where nothing of it is kept. */
  readonly last: Variable | null;
  readonly scale: number;
}

/** All of them by path, there once a view is made. */
export type RestartedLayers = ReadonlyMap<Path, Restarted>;

/** The update of every layer. */
export interface RestartedOptions {
  readonly target: Target;
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly momentum: number;
}

/** y = (W + sum)·x + s·B·A·dropout(x) in every targeted layer, with its tensors. */
export const attachRestarted = (
  name: string,
  model: Model,
  scope: Scope,
  { target, rank, alpha, dropout, momentum }: RestartedOptions,
): { readonly patch: Patch; readonly layers: RestartedLayers } => {
  const layers = new Map<Path, Restarted>();
  const patch = eachLinear(model, scope, target, name, (base, own, path) => {
    const { inDim, outDim } = base;
    const a = own.param('lora_A', [rank, inDim], kaimingUniform);
    const b = own.param('lora_B', [outDim, rank], zeros);
    const sum = own.buffer('lora_sum', [outDim, inDim], zeros);
    const last = momentum > 0 ? own.running('lora_last', [outDim, inDim], zeros) : null;
    const scale = alpha / rank;
    layers.set(path, { a, b, sum, last, scale });
    const now = deltaOf(own, a, b, scale, dropout);
    return addDelta(base, {
      apply: (x, call) => add(matmul(x, sum, { transposeB: true }), now.apply(x, call)),
      dense: () => add(sum, now.dense()),
    });
  });
  return { patch, layers };
};

/** When updates begin anew, and how. */
export interface RestartOptions {
  readonly period: number;
  readonly momentum: number;
  /** Steps over which the learning rate grows again. */
  readonly warmup: number;
}

/**
 * After every period D ← m·D + (1 − m)·s·BA is added to the sum, B is zero and A drawn again, as by `torch.manual_seed(step·layers + layer)` and
 * `kaiming_uniform_`, so that a run that was interrupted draws the same; the optimiser forgets what it knew of them.
 */
export const restart = (layers: RestartedLayers, { period, momentum, warmup }: RestartOptions): Decision => ({
  due: (step) => step % period === 0,
  run: async (step, between) => {
    for (const [i, { a, b, sum, last, scale }] of [...layers.values()].entries()) {
      const now = mul(matmul(b, a), scale * (1 - momentum));
      const change = last ? add(mul(last, momentum), now) : now;
      const made = await between.compute({ sum: add(sum, change), ...(last && { last: change }) });
      await between.write(sum, made['sum']!);
      if (last) await between.write(last, made['last']!);
      const bound = 1 / Math.sqrt(a.shape[1]!);
      await between.write(a, torchUniform(sizeOf(a.shape), -bound, bound, step * layers.size + i));
      await between.write(b, new Float32Array(sizeOf(b.shape)));
    }
    await between.resetOptimizer([...layers.values()].flatMap(({ a, b }) => [a, b]));
    if (warmup > 0) between.rewarm(warmup);
  },
});
