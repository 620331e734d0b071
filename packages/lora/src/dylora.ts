import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type State,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  constant,
  div,
  equal,
  floor,
  less,
  matmul,
  minimum,
  mul,
  reshape,
  select,
  slice,
  stopGradient,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';

/** Options of `dylora`. */
export interface DyloraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** The largest rank R. Default 8. */
  readonly rank?: number;
  /** The smallest rank that training draws. Default 1. */
  readonly minRank?: number;
  /** The rank b that evaluation, merging and saved files have. Default 0: the largest. */
  readonly evaluationRank?: number;
  /** The update of rank b is scaled by alpha / b. Default 16. */
  readonly alpha?: number;
  /** Whether a step trains row and column b alone, and takes those below as they are. Default true. */
  readonly frozen?: boolean;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The rank of a training pass, a whole number from `least` to `most`, of a uniform value. */
const drawnRank = (uniform: Tensor, least: number, most: number): Tensor =>
  minimum(add(floor(mul(uniform, most - least + 1)), least), most);

/** Rows of A and columns of B below b. */
const cut = (state: State, b: number): State =>
  new Map(
    [...state].map(([name, tensor]) => {
      const [rows, columns] = tensor.shape as readonly [number, number];
      const data = Float32Array.from(tensor.data);
      if (name.endsWith('lora_A')) return [name, { shape: [b, columns], data: data.slice(0, b * columns) }];
      if (name.endsWith('lora_B')) return [name, { shape: [rows, b], data: data.filter((_, i) => i % columns < b) }];
      return [name, tensor]; // trained beside: biases, modules
    }),
  );

/**
 * DyLoRA: y = Wx + (alpha/b)·B[:, :b]·A[:b]·dropout(x), LoRA whose rank b is drawn anew in every training pass, the same in all layers, from
 * `minRank` to `rank`, so that one training gives an adapter of each of these ranks. With `frozen` a pass gives a gradient to row b of A and
 * column b of B alone. A [rank, in] is from U(−1/√in, 1/√in), B [out, rank] zero at the start. `evaluationRank` chooses b afterwards: attach the
 * same values with another one. What is saved has that rank. Merges. Throws `bad-option`, and when attached `no-match`.
 * Valipour, Rezagholizadeh, Kobyzev & Ghodsi, 2022. https://arxiv.org/abs/2210.07558. As the authors' code has it, which trains with `frozen`:
 * https://github.com/huawei-noah/Efficient-NLP/tree/main/DyLoRA
 */
export const dylora: MethodFactory<DyloraOptions> = defineMethod<DyloraOptions>({
  name: 'dylora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      minRank: count('min_rank', 1),
      evaluationRank: wholeNumber('evaluation_rank', 0),
      alpha: number('lora_alpha', 16),
      frozen: flag('frozen', true),
      dropout: rate('lora_dropout', 0),
      bias: biases('dylora'),
    },
    check: ({ rank = 8, minRank = 1, evaluationRank = 0 }) => {
      if (minRank > rank) return `minRank ${minRank} must not be above rank ${rank}`;
      return evaluationRank > rank ? `evaluationRank ${evaluationRank} must not be above rank ${rank}` : null;
    },
    compact: async (_model, options, state) => {
      const { rank, minRank, evaluationRank: b } = options;
      if (b === 0 || b === rank) return { method: dylora(options), state };
      const final = { ...options, rank: b, minRank: Math.min(minRank, b), evaluationRank: 0 };
      return { method: dylora(final), state: cut(state, b) };
    },
    attach: (model, scope, { target, rank, minRank, evaluationRank, alpha, frozen, dropout }) => {
      const uniform = scope.draw?.([1]);
      const drawn = uniform ? drawnRank(uniform, minRank, rank) : null;
      const numbers = constant(
        Float32Array.from({ length: rank }, (_, i) => i),
        [rank],
      );
      return eachLinear(model, scope, target, 'dylora', (base, own) => {
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, rank], zeros);
        /** Factors, and the scale of each row of the product between them. */
        const used = (): readonly [a: Tensor, b: Tensor, scales: Tensor | number] => {
          if (!drawn) {
            const end = evaluationRank || rank;
            if (end === rank) return [a, b, alpha / end];
            return [slice(a, { axis: 0, start: 0, end }), slice(b, { axis: 1, start: 0, end }), alpha / end];
          }
          const scales = select(less(numbers, drawn), div(alpha, drawn), 0);
          if (!frozen) return [a, b, scales];
          const last = equal(numbers, sub(drawn, 1));
          return [select(reshape(last, [rank, 1]), a, stopGradient(a)), select(last, b, stopGradient(b)), scales];
        };
        return addDelta(base, {
          apply: (x) => {
            const [down, up, scales] = used();
            const low = matmul(own.dropout(x, dropout), down, { transposeB: true }); // [..., rank]
            return matmul(mul(low, scales), up, { transposeB: true });
          },
          dense: () => {
            const [down, up, scales] = used();
            return matmul(mul(up, scales), down);
          },
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_DYLORA' },
  card: {
    about: 'low-rank updates of any rank up to one, trained together',
    paper: {
      authors: 'Valipour et al.',
      year: 2022,
      title: 'DyLoRA: Parameter Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank Adaptation',
      url: 'https://arxiv.org/abs/2210.07558',
    },
    learningRate: 5e-4,
    narrowRate: 1e-2,
  },
});
