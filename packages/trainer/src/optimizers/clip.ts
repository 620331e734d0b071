import type { GradientTransform } from '@peftjs/core';
import { add, checkOptions, div, minimum, mul, mustBe } from '@peftjs/tensor';
import { globalNorm } from './global-norm.ts';

/**
 * Clipping by global norm: g ← g · min(1, norm / (‖g‖ + 10⁻⁶)), ‖g‖ the L2 norm of all gradients together, as
 * `torch.nn.utils.clip_grad_norm_`. Pascanu, Mikolov & Bengio, 2013. https://arxiv.org/abs/1211.5063. Throws `bad-option` unless norm is
 * positive; Infinity leaves gradients as they are.
 */
export const clip = (norm: number): GradientTransform => {
  checkOptions('clip', { norm: mustBe.such('a number above 0', (v) => typeof v === 'number' && v > 0) }, { norm });
  return {
    name: 'clip',
    update: ({ values, scale }) => {
      if (norm === Number.POSITIVE_INFINITY) return { values, ...(scale && { scale }), state: [] };
      const plain = globalNorm(values.values());
      const factor = minimum(div(norm, add(scale ? mul(plain, scale) : plain, 1e-6)), 1);
      return { values, scale: scale ? mul(scale, factor) : factor, state: [] };
    },
  };
};
