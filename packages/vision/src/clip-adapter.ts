import {
  defineMethod,
  eachLinear,
  kaimingUniform,
  type MethodFactory,
  type Option,
  positive,
  type Target,
  targets,
} from '@peftjs/core';
import { add, matmul, mul, PeftError, relu } from '@peftjs/tensor';

/** Options of `clipAdapter`. */
export interface ClipAdapterOptions {
  /** The layers whose outputs are features. Default `visual_projection`, CLIP's vectors of pictures; `text_projection` makes those of texts. */
  readonly target?: Target;
  /** The width of the middle is that of the features / reduction. Default 4. */
  readonly reduction?: number;
  /** The share α of the adapted features. Default 0.2. */
  readonly ratio?: number;
}

const share: Option<number> = {
  key: 'ratio',
  fallback: () => 0.2,
  expected: 'a number in [0, 1]',
  accepts: (v) => typeof v === 'number' && v >= 0 && v <= 1,
};

/**
 * CLIP-Adapter: features f of c values become α·ReLU(W_2 ReLU(W_1 f)) + (1 − α)·f, before they are brought to length 1 and compared. W_1 [⌊c / reduction⌋, c] and W_2 [c, ⌊c / reduction⌋] have no biases and begin as torch's
 * layers, from U(−1/√n, 1/√n) for n inputs, so the model is not quite the base before training. With `zeroShot` the texts' tower stays as it is. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Gao and others, 2021. https://arxiv.org/abs/2110.04544, https://github.com/gaopengcuhk/CLIP-Adapter
 */
export const clipAdapter: MethodFactory<ClipAdapterOptions> = defineMethod<ClipAdapterOptions>({
  name: 'clipAdapter',
  formula: {
    merges: false,
    options: {
      target: targets('target_modules', ['visual_projection']),
      reduction: positive('reduction', 4),
      ratio: share,
    },
    attach: (model, scope, { target, reduction, ratio }) =>
      eachLinear(model, scope, target, 'clipAdapter', (base, own) => {
        const width = Math.max(1, Math.floor(base.outDim / reduction));
        const down = own.param('fc.0.weight', [width, base.outDim], kaimingUniform);
        const up = own.param('fc.2.weight', [base.outDim, width], kaimingUniform);
        return {
          ...base,
          apply: (x, call) => {
            const features = base.apply(x, call);
            const inner = relu(matmul(features, down, { transposeB: true }));
            const adapted = relu(matmul(inner, up, { transposeB: true }));
            return add(mul(adapted, ratio), mul(features, 1 - ratio));
          },
          dense: () => {
            throw new PeftError('not-mergeable', 'clipAdapter: features go through ReLU, so the layer is no matrix');
          },
        };
      }),
  },
  files: { peftType: 'PEFTJS_CLIP_ADAPTER' },
  card: {
    about: 'a bottleneck over the vectors of pictures, mixed with them',
    paper: {
      authors: 'Gao et al.',
      year: 2021,
      title: 'CLIP-Adapter: Better Vision-Language Models with Feature Adapters',
      url: 'https://arxiv.org/abs/2110.04544',
    },
    learningRate: 1e-3,
  },
});
