import { mul, reshape, type Tensor } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';

/** y = l⊙(Wx + b), l of shape [out]. */
export const scaleOutput = (base: Linear, l: Tensor): Linear => ({
  ...base,
  apply: (x, call) => mul(base.apply(x, call), l),
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight: mul(weight, reshape(l, [-1, 1])), bias: bias && mul(bias, l) };
  },
});
