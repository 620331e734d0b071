import {
  count,
  type Decision,
  defineMethod,
  eachLinear,
  filled,
  type MethodFactory,
  number,
  type Patch,
  penalty,
  positive,
  type Scope,
  type State,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { keepLargest } from '@peftjs/core/collect';
import { add, mul, sum, type Tensor, type Variable } from '@peftjs/tensor';
import { affine, type Linear, type Path } from '@peftjs/transformer';
import { share } from '../masked/define-masked.ts';
import { eachMasked } from '../masked/each-masked.ts';
import { type Mask, masks } from '../masked/mask.ts';
import { entriesOf } from '../masked/nonzero.ts';
import { gates, openChance, settled } from './gates.ts';

/** Options of `diffPruning`. */
export interface DiffPruningOptions {
  /** Whose weights are trained. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of them that is left when they are pruned, in (0, 1]. Default 0.005. */
  readonly keep?: number;
  /** The step after which they are pruned; those that are left are trained further. Default 1000. */
  readonly pruneAfter?: number;
  /** The weight of the penalty on open gates. Default 1.25e-7. */
  readonly sparsity?: number;
  /** First α of the gates. Default 5: nearly all are open. */
  readonly gate?: number;
  /** Multiplies the learning rate of the gates. Default 10⁴, as 0.1 is to 1e-5. */
  readonly gateRate?: number;
  /** The weights that an earlier training left. */
  readonly mask?: Mask;
}

/** A layer with gates. */
interface Gated {
  readonly layer: Linear;
  /** w and α [out, in], α of the whole matrix [1]. */
  readonly difference: Variable;
  readonly alpha: Variable;
  readonly group: Variable;
  /** z_group·z·w in evaluation. */
  readonly change: Tensor;
}

const gated = (
  base: Linear,
  own: Scope,
  { gate, gateRate }: { readonly gate: number; readonly gateRate: number },
): Gated => {
  const shape = [base.outDim, base.inDim];
  const hint = { rate: gateRate, decay: false };
  const difference = own.param('diff', shape, zeros);
  const alpha = own.param('diff_alpha', shape, filled(gate), hint);
  const group = own.param('diff_group_alpha', [1], filled(gate), hint);
  const change = (drawn: boolean): Tensor => {
    const draw = (size: readonly number[]): Tensor | null => (drawn ? (own.draw?.(size) ?? null) : null);
    return mul(mul(gates(alpha, draw(shape)), gates(group, draw([1]))), difference);
  };
  const now = change(true);
  const layer: Linear = {
    ...base,
    apply: (x, call) => add(base.apply(x, call), affine(x, { weight: now, bias: null })),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: add(weight, now), bias };
    },
  };
  return { layer, difference, alpha, group, change: change(false) };
};

/** Prunes all but the largest changes: gates are then open or shut for good, and what is left goes on from where it is. */
const pruned = (layers: ReadonlyMap<Path, Gated>, keep: number, after: number): Decision => ({
  due: (step) => step === after,
  run: async (_step, between) => {
    const all = [...layers.values()];
    const size = all.reduce((n, { difference: { shape } }) => n + shape[0]! * shape[1]!, 0);
    const largest = keepLargest(Math.max(1, Math.floor(keep * size)));
    const changes: Float32Array[] = [];
    for (const [i, { change }] of all.entries()) {
      changes.push((await between.compute({ change }))['change'] as Float32Array);
      largest.add(i, changes[i]!.map(Math.abs));
    }
    const kept = largest.places();
    for (const [i, { difference, alpha, group }] of all.entries()) {
      const [values, open] = [
        new Float32Array(changes[i]!.length),
        new Float32Array(changes[i]!.length).fill(-settled),
      ];
      for (const place of kept.get(i) ?? []) {
        values[place] = changes[i]![place]!;
        open[place] = settled;
      }
      await between.write(difference, values);
      await between.write(alpha, open);
      await between.write(group, Float32Array.of(settled));
    }
    await between.resetOptimizer(all.flatMap(({ difference, alpha, group }) => [difference, alpha, group]));
  },
});

/** Whether all gates are open or shut for good. */
const isPruned = (state: State): boolean =>
  [...state].every(
    ([name, { data }]) =>
      !/\.diff_(group_)?alpha$/.test(name) || Array.from(data).every((a) => Math.abs(a) > settled / 2),
  );

/**
 * Diff pruning: W' = W + z_W·(z∘w), w [out, in] the difference, zero at the start, z [out, in] a gate for each weight and z_W one for the whole matrix, both hard concrete: drawn anew in every training
 * pass and cut to [0, 1], so that many are exactly 0 or 1. Beside the loss stands `sparsity` times the expected number of open gates. After the step `pruneAfter` only the share `keep` of all differences with
 * the largest magnitudes is left, over all layers together; these are trained further without chance. What is saved then are k values and k places; before it is w with its gates. Training holds two matrices
 * of W's size for each layer. Biases, norms and embeddings have no difference. Merges. Throws `bad-option`, and when attached `no-match`, `state-mismatch`.
 * Guo, Rush & Kim, 2020. https://arxiv.org/abs/2012.07463. As the authors' code has it, https://github.com/dguo98/DiffPruning, but that gates in evaluation are not drawn: z of σ(α), after Louizos et al.
 */
export const diffPruning: MethodFactory<DiffPruningOptions> = defineMethod<DiffPruningOptions>({
  name: 'diffPruning',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      keep: share('target_sparsity', 0.005),
      pruneAfter: count('prune_after', 1000),
      sparsity: number('sparsity_pen', 1.25e-7),
      gate: number('alpha_init', 5),
      gateRate: positive('alpha_rate', 1e4),
      mask: masks,
    },
    compact: async (_model, options, state) => {
      if (Object.keys(options.mask).length > 0 || !isPruned(state)) return { method: diffPruning(options), state };
      const { mask, state: left } = entriesOf(
        state,
        'diff',
        (path, at) => state.get(`${path}.diff_alpha`)!.data[at]! > 0,
      );
      return { method: diffPruning({ ...options, mask }), state: left };
    },
    attach: (model, scope, options): Patch => {
      const { target, keep, pruneAfter, sparsity, mask } = options;
      if (Object.keys(mask).length > 0) return eachMasked('diffPruning', model, scope, mask);
      const layers = new Map<Path, Gated>();
      const patch = eachLinear(model, scope, target, 'diffPruning', (base, own, path) => {
        const made = gated(base, own, options);
        layers.set(path, made);
        return made.layer;
      });
      const expected = (): Tensor =>
        [...layers.values()]
          .flatMap(({ alpha, group }) => [sum(openChance(alpha)), sum(openChance(group))])
          .reduce((a, b) => add(a, b));
      return {
        ...patch,
        objective: penalty(() => mul(expected(), sparsity)),
        decision: pruned(layers, keep, pruneAfter),
      };
    },
  },
  files: { peftType: 'PEFTJS_DIFF_PRUNING' },
  card: {
    about: 'a difference that becomes sparse in training',
    paper: {
      authors: 'Guo, Rush & Kim',
      year: 2020,
      title: 'Parameter-Efficient Transfer Learning with Diff Pruning',
      url: 'https://arxiv.org/abs/2012.07463',
    },
    learningRate: 1e-5,
    narrowRate: 1e-3,
  },
});
