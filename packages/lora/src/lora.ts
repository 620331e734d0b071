import {
  byPattern,
  count,
  defineMethod,
  eachLinear,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  patternValue,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul } from '@peftjs/tensor';
import { defaultTargets, notComputed } from './peft-config.ts';

/** Options of `lora`. */
export interface LoraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Scale by alpha / √rank, which keeps large ranks learning (rsLoRA). Kalajdzievski, 2023. https://arxiv.org/abs/2312.03732 */
  readonly rsLora?: boolean;
  /** Other ranks, by a regular expression of the path or its end after a dot: `{ 'layers\\.0\\.self_attn\\.q_proj': 16 }`; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other alphas, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
}

/**
 * LoRA: y = Wx + (alpha/r)·B·A·dropout(x), A of shape [rank, in] from U(−1/√in, 1/√in), B of shape [out, rank] zero at the start; W is frozen.
 * The product BA is never formed in a training step. Merges. Throws `bad-option`, and when attached `no-match`.
 * Hu et al., 2021. https://arxiv.org/abs/2106.09685
 */
export const lora: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'lora',
  peftType: 'LORA',
  paper: {
    authors: 'Hu et al.',
    year: 2021,
    title: 'LoRA: Low-Rank Adaptation of Large Language Models',
    url: 'https://arxiv.org/abs/2106.09685',
  },
  merges: true,
  learningRate: 2e-4,
  options: {
    target: targets('target_modules', defaultTargets),
    rank: count('r', 8),
    alpha: number('lora_alpha', 8),
    dropout: rate('lora_dropout', 0),
    rsLora: flag('use_rslora', false),
    rankPattern: byPattern('rank_pattern', count, 'ranks of at least 1'),
    alphaPattern: byPattern('alpha_pattern', number, 'finite numbers'),
  },
  computes: notComputed,
  reads: (config) => config['use_dora'] !== true,
  config: ({ config: { modelType } }) => ({
    bias: 'none',
    fan_in_fan_out: modelType === 'gpt2',
    init_lora_weights: true,
  }),
  attach: (model, scope, { target, rank, alpha, dropout, rsLora, rankPattern, alphaPattern }) =>
    eachLinear(model, scope, target, 'lora', (base, own, path) => {
      const r = patternValue(rankPattern, path) ?? rank;
      const scale = (patternValue(alphaPattern, path) ?? alpha) / (rsLora ? Math.sqrt(r) : r);
      const a = own.param('lora_A.weight', [r, base.inDim], kaimingUniform);
      const b = own.param('lora_B.weight', [base.outDim, r], zeros);
      return {
        ...base,
        apply: (x) => {
          const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
          return add(base.apply(x), mul(matmul(low, b, { transposeB: true }), scale));
        },
        dense: () => {
          const { weight, bias } = base.dense();
          return { weight: add(weight, mul(matmul(b, a), scale)), bias };
        },
      };
    }),
});
