import {
  count,
  defineMethod,
  eachSite,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  type Option,
  rate,
  truncatedNormal,
} from '@peftjs/core';
import { add, matmul, mul, relu } from '@peftjs/tensor';
import { packedState, quantizedWeight } from './quantized-weight.ts';

/** Options of `binaryAdapter`. */
export interface BinaryAdapterOptions {
  /** Width r of the middle. Default 32. */
  readonly bottleneck?: number;
  /** Bits of a value, 1 to 4. Default 1. */
  readonly bits?: number;
  /** Factor s of what is added. Default 1; the authors choose it by the data, from 0.01 to 10. */
  readonly scale?: number;
  /** Probability that a value of the middle is dropped while training. Default 0.1. */
  readonly dropout?: number;
  /** Whether the matrices are codes with a mean and a deviation each, and the codes are trained no more: what is saved. Default false. */
  readonly packed?: boolean;
}

const bitsOption: Option<number> = {
  key: 'bits',
  fallback: () => 1,
  expected: '1, 2, 3 or 4',
  accepts: (v) => v === 1 || v === 2 || v === 3 || v === 4,
};

/**
 * Binary adapters (Bi-AdaptFormer): beside the MLP of every layer y + s·Ŵ_up dropout(ReLU(Ŵ_down x)) of the stream x before the MLP's norm, without biases. Ŵ is a matrix w in few bits: σ·q((w − μ) / (σ + 10⁻⁵)) + μ
 * with the mean μ and the deviation σ of w, q the nearest of 2^bits levels that fit a normal distribution; gradients go straight through q to w. Only codes, μ and σ are saved, and of a loaded adapter μ and σ alone are trained. W_down [r, d] from
 * U(−1/√d, 1/√d), W_up [d, r] from N(0, 0.001²) cut at ±0.002. Works on texts too. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Jie, Wang & Deng, 2023. https://arxiv.org/abs/2307.16867, https://github.com/JieShibo/PETL-ViT, binary_adapter. Levels are those of its code: medians.
 */
export const binaryAdapter: MethodFactory<BinaryAdapterOptions> = defineMethod<BinaryAdapterOptions>({
  name: 'binaryAdapter',
  formula: {
    merges: false,
    options: {
      bottleneck: count('dim', 32),
      bits: bitsOption,
      scale: number('scale', 1),
      dropout: rate('dropout', 0.1),
      packed: flag('packed', false),
    },
    compact: async (_model, options, state) =>
      options.packed
        ? { method: binaryAdapter(options), state }
        : {
            method: binaryAdapter({ ...options, packed: true }),
            state: packedState(state, (name) => /\.adapter_mlp\.adapter_(down|up)\.weight$/.test(name), options.bits),
          },
    attach: (model, scope, { bottleneck, scale, dropout, ...stored }) =>
      eachSite(model, scope, 'mlp', (layer, path) => {
        const own = layer.at('adapter_mlp');
        const width = model.widthAt(path);
        const down = quantizedWeight(own, 'adapter_down', [bottleneck, width], kaimingUniform, stored);
        const up = quantizedWeight(own, 'adapter_up', [width, bottleneck], truncatedNormal(0.001), stored);
        return (x, next, { stream }) => {
          const inner = own.dropout(relu(matmul(stream!, down, { transposeB: true })), dropout);
          return add(next(x), mul(matmul(inner, up, { transposeB: true }), scale));
        };
      }),
  },
  files: { peftType: 'PEFTJS_BINARY_ADAPTER' },
  card: {
    about: 'a bottleneck beside each MLP in one to four bits a value',
    paper: {
      authors: 'Jie, Wang & Deng',
      year: 2023,
      title: 'Revisiting the Parameter Efficiency of Adapters from the Perspective of Precision Redundancy',
      url: 'https://arxiv.org/abs/2307.16867',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
