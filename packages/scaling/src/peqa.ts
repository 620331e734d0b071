import { defineMethod, eachLinear, type MethodFactory, ones, type Target, targets, wholeNumber } from '@peftjs/core';
import { add, broadcastTo, constant, mul, reshape, slice, sub, type Tensor } from '@peftjs/tensor';
import { type Linear, viaDense } from '@peftjs/transformer';

/** Options of `peqa`. */
export interface PeqaOptions {
  /** Default: all but the output head. */
  readonly target?: Target;
  /** Inputs that share a scale, as the base's format has them in a block; 0: all of an output's. Default 0. */
  readonly groupSize?: number;
}

/** [out, groups] -> [out, in] */
const spread = (scale: Tensor, inDim: number, groupSize: number): Tensor => {
  const [outDim, groups] = scale.shape as readonly [number, number];
  const wide = broadcastTo(reshape(scale, [outDim, groups, 1]), [outDim, groups, groupSize]);
  const flat = reshape(wide, [outDim, groups * groupSize]);
  return groups * groupSize === inDim ? flat : slice(flat, { axis: 1, start: 0, end: inDim });
};

/** A layer whose weights, and not its bias, are scaled by output: [out]. */
const scaledByOutput = (base: Linear, scale: Tensor): Linear => ({
  ...base,
  apply: (x, call) => {
    const { bias } = base.dense();
    const y = base.apply(x, call);
    const scaled = mul(y, scale);
    return bias ? add(scaled, mul(bias, sub(constant(Float32Array.of(1), []), scale))) : scaled;
  },
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight: mul(weight, reshape(scale, [-1, 1])), bias };
  },
});

/**
 * PEQA: W' = c·s·(q − z) over a base of integers q with scales s and zero points z, of which the scales alone are trained, by output or by group of inputs. Trained is c = s'/s, of shape [out, groups], 1 at the start: a step changes a scale by
 * a share of itself, where the paper's changes the scale. A file holds c, so that tasks over one base are swapped with it. Over any format, and floats. Merges: what is quantised by the same groups keeps its codes. Throws `bad-option`,
 * and when attached `no-match`. Kim, Lee, Kim, Park, Yoo, Kwon & Lee, 2023. https://arxiv.org/abs/2305.14152
 */
export const peqa: MethodFactory<PeqaOptions> = defineMethod<PeqaOptions>({
  name: 'peqa',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      groupSize: wholeNumber('group_size', 0),
    },
    attach: (model, scope, { target, groupSize }) =>
      eachLinear(model, scope, target, 'peqa', (base, own) => {
        const groups = groupSize === 0 ? 1 : Math.ceil(base.inDim / groupSize);
        const scale = own.param('peqa_scale', [base.outDim, groups], ones);
        if (groups === 1) return scaledByOutput(base, reshape(scale, [-1]));
        return viaDense(base, ({ weight, bias }) => ({
          weight: mul(weight, spread(scale, base.inDim, groupSize)),
          bias,
        }));
      }),
  },
  files: { peftType: 'PEFTJS_PEQA' },
  card: {
    about: 'the scales of quantised weights',
    paper: {
      authors: 'Kim et al.',
      year: 2023,
      title: 'Memory-Efficient Fine-Tuning of Compressed Large Language Models via sub-4-bit Integer Quantization',
      url: 'https://arxiv.org/abs/2305.14152',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
