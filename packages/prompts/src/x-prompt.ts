import { count, defineMethod, type MethodFactory, ones, rate as share, type TrainedStep, zeros } from '@peftjs/core';
import { abs, add, constant, gather, mul, PeftError, reshape, sum, type Tensor, type Variable } from '@peftjs/tensor';
import { tokenTableOf } from '@peftjs/transformer';
import { rowsName } from './encoder.ts';
import { promptTuning } from './prompt-tuning.ts';
import { promptConfig, rowsInFront } from './soft-prompt.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `xPrompt`. */
export interface XPromptOptions {
  /** Virtual tokens m. Default 20. */
  readonly length?: number;
  /** Pieces k of each token, which divide its width. Default 16. */
  readonly pieces?: number;
  /** The step after which tokens are pruned, the end of the first stage. Default 1000. */
  readonly tokensAt?: number;
  /** The later step after which pieces of the tokens that are left are pruned, and their values go back. Default 1200. */
  readonly piecesAt?: number;
  /** Share of the tokens that are pruned. Default 0.5. */
  readonly tokenShare?: number;
  /** Share of the pieces left that are pruned. Default 0.5. */
  readonly pieceShare?: number;
  /** First values of the rows, as in `promptTuning`. Default `vocabulary`. */
  readonly init?: RowInit;
}

/** Ones with zeros for the least important among those that are 1 still: so many that the share of them is gone. */
const pruned = (mask: Float32Array, importance: Float32Array, part: number): Float32Array => {
  const left = [...mask.keys()].filter((i) => mask[i]! > 0);
  const gone = left.toSorted((a, b) => importance[a]! - importance[b]!).slice(0, Math.floor(left.length * part));
  return mask.map((kept, i) => (gone.includes(i) ? 0 : kept));
};

/** [m, k]: for each piece |Σ P ⊙ ∂loss/∂P|, which is |∂loss/∂mask| where the mask is 1. */
const sensitivity = (rows: Variable, step: TrainedStep, pieces: number): Tensor => {
  const [m] = rows.shape as readonly [number];
  return sum(reshape(mul(rows, step.gradient(rows)), [m, pieces, -1]), { axes: [2] });
};

/**
 * XPrompt: prompt tuning whose rows are pruned twice, as winning tickets: [γ ⊙ ζ ⊙ P; E(x)] with masks γ [m, 1] of tokens and ζ [m, k] of k equal pieces of each. After `tokensAt` steps the share of tokens with the least importance is gone,
 * after `piecesAt` the share of the pieces that are left; then those are as they were after `tokensAt` (rewinding), the optimiser begins anew, and training goes on. The importance of a token or piece is |∂loss/∂mask|, here of each batch, summed over the steps before.
 * Pruned rows are zeros in the input. Files have a layout of our own, which holds the masks. Does not merge. Throws `bad-option`, also when attached.
 * Ma et al., 2022. https://arxiv.org/abs/2210.04457. Read were its abstract and introduction; how scores are summed and what is rewound to are not told there.
 */
export const xPrompt: MethodFactory<XPromptOptions> = defineMethod<XPromptOptions>({
  name: 'xPrompt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      pieces: count('num_pieces', 16),
      tokensAt: count('tokens_at', 1000),
      piecesAt: count('pieces_at', 1200),
      tokenShare: share('token_share', 0.5),
      pieceShare: share('piece_share', 0.5),
      init: rowInit,
    },
    check: ({ tokensAt = 1000, piecesAt = 1200 }) =>
      tokensAt < piecesAt ? null : `piecesAt must come after tokensAt, ${tokensAt}, got ${piecesAt}`,
    attach: (model, scope, { length, pieces, tokensAt, piecesAt, tokenShare, pieceShare, init }) => {
      const { dim, weight } = tokenTableOf(model, model.towers[0], 'xPrompt');
      if (dim % pieces !== 0)
        throw new PeftError(
          'bad-option',
          `xPrompt: pieces ${pieces} do not divide rows of ${dim}; give a number that does`,
        );
      const first = initOf(init, model, length, (ids) => gather(weight, constant(ids, [length])));
      const rows = scope.param(rowsName, [length, dim], first, { decay: false });
      const tokens = scope.buffer('token_mask', [length, 1], ones);
      const parts = scope.buffer('piece_mask', [length, pieces], ones);
      const ofTokens = scope.running('token_importance', [length, 1], zeros);
      const ofPieces = scope.running('piece_importance', [length, pieces], zeros);
      const rewind = scope.running('rewind', [length, dim], zeros);
      const mask = reshape(mul(tokens, parts), [length, pieces, 1]);
      const shown = reshape(mul(reshape(rows, [length, pieces, -1]), mask), [length, dim]);
      return {
        ...rowsInFront(model, { length }, () => shown),
        statistics: (step) => {
          const each = sensitivity(rows, step, pieces);
          return [
            [ofTokens, add(ofTokens, abs(sum(each, { axes: [1], keepDims: true })))],
            [ofPieces, add(ofPieces, abs(each))],
          ];
        },
        decision: {
          due: (step) => step === tokensAt || step === piecesAt,
          run: async (step, { read, write, resetOptimizer }) => {
            const values = async (v: Variable): Promise<Float32Array> => Float32Array.from(await read(v));
            const ofStep =
              step === tokensAt ? ([tokens, ofTokens, tokenShare] as const) : ([parts, ofPieces, pieceShare] as const);
            const [own, importance, part] = ofStep;
            const known = await values(own);
            const live = await values(tokens);
            // Pieces of tokens that are gone are not counted among those that are left.
            const left = step === tokensAt ? known : known.map((kept, i) => kept * live[Math.floor(i / pieces)]!);
            await write(own, pruned(left, await values(importance), part));
            if (step === tokensAt) {
              await write(rewind, await values(rows));
              await write(ofPieces, new Float32Array(length * pieces));
            } else {
              await write(rows, await values(rewind));
              await resetOptimizer([rows]);
            }
          },
        },
      };
    },
  },
  files: {
    peftType: 'PEFTJS_XPROMPT',
    config: (model) => promptConfig(model, model.main.hiddenSize, model.main.heads),
  },
  card: {
    about: 'rows in front of the embeddings, of which tokens and pieces are pruned',
    paper: {
      authors: 'Ma et al.',
      year: 2022,
      title: 'XPrompt: Exploring the Extreme of Prompt Tuning',
      url: 'https://arxiv.org/abs/2210.04457',
    },
    learningRate: promptTuning.learningRate,
  },
});
