import { count, defineMethod, eachSite, kaimingUniform, type MethodFactory, ones, rate, zeros } from '@peftjs/core';
import { add, mul, relu } from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';

/** Options of `adaptFormer`. */
export interface AdaptFormerOptions {
  /** Width r of the middle. Default 64. */
  readonly bottleneck?: number;
  /** Factor s of what is added: a number, or one that is trained from 1. Default 0.1. */
  readonly scale?: number | 'learned';
  /** Probability that a value of the middle is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

/**
 * AdaptFormer: a bottleneck beside the MLP of every layer, which reads the stream x before the MLP's norm: MLP(norm(x)) + s·(W_up dropout(ReLU(W_down x + b_down)) + b_up), to which
 * the stream is added. W_down [r, d] from U(−1/√d, 1/√d), all else 0 at the start. In a model that weighs what the MLP gives (DINOv2), the sum is weighed. Works on texts too. Does not merge. Throws
 * `bad-option`, and when attached `no-match`.
 * Chen and others, 2022. https://arxiv.org/abs/2205.13535, https://github.com/ShoufaChen/AdaptFormer
 */
export const adaptFormer: MethodFactory<AdaptFormerOptions> = defineMethod<AdaptFormerOptions>({
  name: 'adaptFormer',
  formula: {
    merges: false,
    options: {
      bottleneck: count('ffn_num', 64),
      scale: {
        key: 'ffn_adapter_scalar',
        fallback: () => 0.1,
        expected: 'a finite number, or learned',
        accepts: (v) => Number.isFinite(v) || v === 'learned',
      },
      dropout: rate('dropout', 0.1),
    },
    attach: (model, scope, { bottleneck, scale, dropout }) =>
      eachSite(model, scope, 'mlp', (layer, path) => {
        const own = layer.at('adaptmlp');
        const width = model.widthAt(path);
        const down = {
          weight: own.param('down_proj.weight', [bottleneck, width], kaimingUniform),
          bias: own.param('down_proj.bias', [bottleneck], zeros),
        };
        const up = {
          weight: own.param('up_proj.weight', [width, bottleneck], zeros),
          bias: own.param('up_proj.bias', [width], zeros),
        };
        const factor = scale === 'learned' ? own.param('scale', [1], ones) : scale;
        return (x, next, { stream }) => {
          const inner = own.dropout(relu(affine(stream!, down)), dropout);
          return add(next(x), mul(affine(inner, up), factor));
        };
      }),
  },
  files: { peftType: 'PEFTJS_ADAPTFORMER' },
  card: {
    about: "a bottleneck beside each MLP, which reads the stream before the MLP's norm",
    paper: {
      authors: 'Chen et al.',
      year: 2022,
      title: 'AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition',
      url: 'https://arxiv.org/abs/2205.13535',
    },
    learningRate: 1e-3,
    narrowRate: 3e-2,
  },
});
