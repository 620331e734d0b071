import { count, defineMethod, kaimingUniform, type MethodFactory, type Option, positive, zeros } from '@peftjs/core';
import { add, concat, constant, gather, matmul, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, tokenTableOf } from '@peftjs/transformer';
import { rowsName } from './encoder.ts';
import { positionsOf, tokenRows } from './over-tokens.ts';
import { promptComputes, promptConfig, rowsInFront } from './soft-prompt.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `dePt`. */
export interface DePtOptions {
  /** Virtual tokens m. Default 20; the paper has 40 to 60 in place of 100. */
  readonly length?: number;
  /** Rank r of the update of the embedded tokens. Default 8; the paper has 45 for m = 40, so that both together are as large as 100 rows. */
  readonly rank?: number;
  /** α: the update counts α/√r. Default 8. */
  readonly alpha?: number;
  /** Positions s that have an update; tokens behind them have none. Default 256. */
  readonly context?: number;
  /** First values of the rows, as in `promptTuning`. Default `vocabulary`. */
  readonly init?: RowInit;
  /** The rate of the update's two factors, as a multiple of the rows'. Default 1/600: in the paper 5e-4 beside 0.3. */
  readonly pairRate?: number;
}

/** The names of the update's factors. */
const pair = ['prompt_encoder.lora_embedding_A', 'prompt_encoder.lora_embedding_B'] as const;

const pairRate: Option<number> = positive('pair_rate', 1 / 600);

/**
 * DePT: [P; E(x) + (α/√r)·A·B], m trained rows P [m, d] before the embedded tokens, and a low-rank update of those by their position: A [s, r] from U(−1/√r, 1/√r), B [r, d] zero at the start.
 * The factors have a rate of their own. Files are those of the authors' library. In an encoder-decoder the encoder's tokens are changed.
 * Does not merge. Throws `bad-option`, also when attached, for a text of tokens that the model does not have.
 * Shi & Lipani, 2023. https://arxiv.org/abs/2309.05173 By the authors' code, https://github.com/ZhengxiangShi/DePT, peft/tuners/prompt_tuning_lora.py and train.py.
 */
export const dePt: MethodFactory<DePtOptions> = defineMethod<DePtOptions>({
  name: 'dePt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      rank: count('r', 8),
      alpha: positive('lora_alpha', 8),
      context: count('max_length', 256),
      init: rowInit,
      pairRate,
    },
    attach: (model, scope, { length, rank, alpha, context, init, pairRate: rate }) => {
      const { dim, weight } = tokenTableOf(model, model.towers[0], 'dept');
      const first = initOf(init, model, length, (ids) => gather(weight, constant(ids, [length])));
      const rows = scope.param(rowsName, [length, dim], first);
      const a = scope.param(pair[0], [context, rank], kaimingUniform, { rate });
      const b = scope.param(pair[1], [rank, dim], zeros, { rate });
      const update = (call: Call): Tensor => {
        const positions = positionsOf(call);
        const flat = gather(a, reshape(positions, [-1]));
        return reshape(mul(matmul(flat, b), alpha / Math.sqrt(rank)), [...positions.shape, dim]);
      };
      const patch = rowsInFront(model, { length }, () => rows);
      const [[site, inFront]] = [...patch.around!.embed!] as [[string, Around<'embed'>]];
      const updated: Around<'embed'> = (ids, next, call) => {
        const x = next(ids);
        const front = x.shape[1]! - call.sequence.tokens;
        const own = add(tokenRows(x, call), update(call));
        return front === 0 ? own : concat(slice(x, { axis: 1, start: 0, end: front }), own, { axis: 1 });
      };
      const both: Around<'embed'> = (ids, next, call) => inFront(ids, (own) => updated(own, next, call), call);
      return { around: { embed: new Map([[site, both]]) } };
    },
  },
  files: {
    peftType: 'PROMPT_TUNING_LORA',
    computes: { ...promptComputes, num_transformer_submodules: [1] },
    config: (model) => ({
      ...promptConfig(model, model.main.hiddenSize, model.main.heads),
      hidden_size: model.main.hiddenSize,
      num_transformer_submodules: 1,
    }),
    keys: {
      [rowsName]: rowsName,
      [pair[0]]: pair[0],
      [pair[1]]: pair[1],
    },
  },
  card: {
    about: 'rows in front of the embeddings, and a low-rank update of those by position',
    paper: {
      authors: 'Shi & Lipani',
      year: 2023,
      title: 'DePT: Decomposed Prompt Tuning for Parameter-Efficient Fine-tuning',
      url: 'https://arxiv.org/abs/2309.05173',
    },
    learningRate: 0.1,
    narrowRate: 3.2e-2,
  },
});
