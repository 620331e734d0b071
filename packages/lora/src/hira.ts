import {
  byPattern,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  patternValue,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, type Tensor } from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';
import { fanInFanOut } from './peft-config.ts';

/** Options of `hira`. */
export interface HiraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the factors. Default 32. */
  readonly rank?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Other ranks, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
}

/**
 * HiRA: y = Wx + (W ∘ BA)·dropout(x), so a low-rank share of each weight, an update of high rank. A is [rank, in] from U(−1/√in, 1/√in), B [out, rank]
 * zero at the start. W ∘ (1 + BA) is formed in each step; without dropout it takes the place of W, so that there is one product. Merges. Throws
 * `bad-option`, and when attached `no-match`.
 * Huang et al., 2025. https://openreview.net/forum?id=TwJrTz9cRS
 */
export const hira: MethodFactory<HiraOptions> = defineMethod<HiraOptions>({
  name: 'hira',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      dropout: rate('hira_dropout', 0),
      rankPattern: byPattern('rank_pattern', count, 'ranks of at least 1', 'rank'),
    },
    attach: (model, scope, { target, rank, dropout, rankPattern }) =>
      eachLinear(model, scope, target, 'hira', (base, own, path) => {
        const r = patternValue(rankPattern, path) ?? rank;
        const a = own.param('hira_A', [r, base.inDim], kaimingUniform);
        const b = own.param('hira_B', [base.outDim, r], zeros);
        const share = (): Tensor => matmul(b, a); // [out, in]
        const dense = () => {
          const { weight, bias } = base.dense();
          return { weight: mul(weight, add(share(), 1)), bias };
        };
        return {
          ...base,
          apply: (x, call) => {
            const kept = own.dropout(x, dropout);
            if (kept === x) return affine(x, dense());
            const update = mul(base.dense().weight, share());
            return add(base.apply(x, call), matmul(kept, update, { transposeB: true }));
          },
          dense,
        };
      }),
  },
  files: {
    peftType: 'HIRA',
    config: (model) => ({ ...fanInFanOut(model), init_weights: true }),
  },
  card: {
    about: 'a low-rank share of each weight',
    paper: {
      authors: 'Huang et al.',
      year: 2025,
      title: 'HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for Large Language Models',
      url: 'https://openreview.net/forum?id=TwJrTz9cRS',
    },
    learningRate: 1e-3,
    narrowRate: 0.1,
  },
});
