import {
  defineMethod,
  eachLinear,
  type GradientTransform,
  type MethodFactory,
  type Target,
  targets,
  unscaled,
} from '@peftjs/core';
import { cast, less, mul, randomUniform, type Tensor, type Variable } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { childTuningD } from './child-tuning-d.ts';
import { share } from './masked/define-masked.ts';
import { wholeLayer } from './masked/whole-layer.ts';

/** Options of `childTuningF`. */
export interface ChildTuningFOptions {
  /** Whose weights are trained. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of the gradient's entries that a step keeps, in (0, 1]. Default 0.3. */
  readonly keep?: number;
}

/** Gradients of which each step keeps a share, drawn anew, divided by that share. */
const drawn = (changes: ReadonlyMap<Path, Variable>, keep: number): GradientTransform => ({
  name: 'childTuningF',
  update: (gradients, step) => {
    const seed = cast(
      step.feed('seed', [], (now) => Float32Array.of(now)),
      { dtype: 'u32' },
    );
    const masked = [...changes.values()].flatMap((change, i): [Variable, Tensor][] => {
      const gradient = unscaled(gradients).get(change);
      if (!gradient) return [];
      return [[change, mul(gradient, mul(less(randomUniform(seed, change.shape, i), keep), 1 / keep))]];
    });
    return { values: new Map([...unscaled(gradients), ...masked]), state: [] };
  },
});

/**
 * Child-tuning-F: W' = W + Δ, all weights trained, but each step draws which entries of the gradient it keeps: g ⊙ Bernoulli(p) / p before the optimiser's moments, p = `keep`. So every weight may have
 * changed in the end, and Δ is saved whole, [out, in] for each layer: large, as full fine-tuning is. Merges. Throws `bad-option`, and when attached `no-match`.
 * Xu et al., 2021. https://arxiv.org/abs/2109.05687. As the authors' code has it, https://github.com/alibaba/AliceMind/tree/main/ChildTuning, for linear layers.
 */
export const childTuningF: MethodFactory<ChildTuningFOptions> = defineMethod<ChildTuningFOptions>({
  name: 'childTuningF',
  formula: {
    merges: true,
    options: { target: targets('target_modules', 'all-linear'), keep: share('reserve_p', 0.3) },
    attach: (model, scope, { target, keep }) => {
      const changes = new Map<Path, Variable>();
      const patch = eachLinear(model, scope, target, 'childTuningF', (base, own, path) => {
        const { layer, change } = wholeLayer(base, own);
        changes.set(path, change);
        return layer;
      });
      return { ...patch, transform: drawn(changes, keep) };
    },
  },
  files: { peftType: 'PEFTJS_CHILD_TUNING_F' },
  card: {
    about: 'all weights, a random part of them in each step',
    paper: childTuningD.paper,
    learningRate: childTuningD.learningRate,
    narrowRate: 1e-2,
  },
});
