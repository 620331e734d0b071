import { defineMethod, isRows, type MethodFactory, type Option, type Target, targets, tokenRows } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import { type Model, type Path, targeted } from '@peftjs/transformer';

/** Options of `tokenTuning`. */
export interface TokenTuningOptions {
  /** Ids of the tokens, each once. */
  readonly tokens: readonly number[];
  /** Names of embeddings whose rows are trained. Default: that of the tokens. */
  readonly target?: Target;
}

const rows: Option<readonly number[]> = {
  key: 'token_indices',
  fallback: () => [],
  expected: 'a list of different token ids, one at least',
  accepts: (v) => isRows(v) && v.length > 0,
  toJson: (ids) => [...ids],
};

/** The end of the path of the tokens' own embedding: `embed_tokens`, `wte`. */
const ownTable = ({ towers, embeddings }: Model): string[] => {
  const path: Path =
    towers.map(({ tokenTable }) => tokenTable).find((path) => path !== null && embeddings.has(path)) ?? 'of tokens';
  return [path.slice(path.lastIndexOf('.') + 1)];
};

/**
 * Token tuning: rows of the embedding, those of some tokens, are trained, from the base's values, in a head that shares the table too; everything else is frozen: for new tokens, or a new
 * meaning of old ones. Trained and saved are [tokens, dim] values. Hugging Face PEFT calls it trainable tokens. Merges. Throws `bad-option`, also when attached to an embedding that has fewer rows or that encoder and decoder share
 * (T5), and then `no-match`.
 * https://huggingface.co/docs/peft/package_reference/trainable_tokens
 */
export const tokenTuning: MethodFactory<TokenTuningOptions> = defineMethod<TokenTuningOptions>({
  name: 'tokenTuning',
  formula: {
    merges: true,
    options: {
      tokens: rows,
      target: targets('target_modules', ownTable, (model) => model.embeddings.keys()),
    },
    check: ({ tokens }) => (tokens ? null : 'there are no tokens; give ids whose rows are to be trained'),
    attach: (model, scope, { tokens, target }) => {
      if (tokens.length === 0)
        throw new PeftError('bad-option', 'tokenTuning: there are no tokens; give ids whose rows are to be trained');
      return tokenRows(model, scope, targeted(model.embeddings.keys(), target, 'tokenTuning'), tokens, 'tokenTuning');
    },
  },
  files: {
    peftType: 'TRAINABLE_TOKENS',
    config: () => ({ init_weights: true }),
    // Of the head that shares the table.
    repeated: ['trainable_tokens_delta'],
  },
  card: {
    about: 'rows of the embedding, of some tokens',
    paper: {
      authors: 'Hugging Face',
      year: 2025,
      title: 'PEFT: Trainable Tokens',
      url: 'https://huggingface.co/docs/peft/package_reference/trainable_tokens',
    },
    learningRate: 1e-3,
  },
});
