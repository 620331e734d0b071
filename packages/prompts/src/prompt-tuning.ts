import { count, defineMethod, type MethodFactory, type Option } from '@peftjs/core';
import { constant, gather } from '@peftjs/tensor';
import { rowsName } from './encoder.ts';
import { promptComputes, promptConfig, rowsInFront, submodulesOption } from './soft-prompt.ts';
import { initOf, isTextInit, type RowInit } from './vocabulary.ts';

/** Options of `promptTuning`. */
export interface PromptTuningOptions {
  /** Virtual tokens m. Default 20, beyond which the paper finds marginal gains. */
  readonly length?: number;
  /**
   * First values: `vocabulary` (default), the embeddings of tokens drawn at random; `{ text: ids }`, those of a text, repeated or cut to m
   * tokens; `random`, N(0, 1), which lies far from any embedding. The paper finds words and class labels clearly ahead of noise.
   */
  readonly init?: RowInit;
  /** Towers that there are rows for, of which the first alone reads its: 2 in files of Hugging Face PEFT for encoder-decoders. Default 1. */
  readonly submodules?: number;
}

const rowInit: Option<RowInit> = {
  key: 'prompt_tuning_init',
  fallback: () => 'vocabulary',
  expected: "'random', 'vocabulary' or { text: token ids }",
  accepts: (v) => v === 'random' || v === 'vocabulary' || isTextInit(v),
  // For TEXT Hugging Face PEFT asks for a tokenizer again, even to load values that are there.
  toJson: (init) => (init === 'vocabulary' ? 'SAMPLE_VOCAB' : 'RANDOM'),
  fromJson: (init) => (init === 'SAMPLE_VOCAB' ? 'vocabulary' : 'random'),
};

/**
 * Prompt tuning: [P; E(x)], m trained rows before the embedded tokens, P of shape [m, d]; positions count them. In an encoder-decoder they are
 * before the encoder's tokens. Files are Hugging Face PEFT's.
 * Does not merge. Throws `bad-option`, also when attached, for a text of tokens that the model does not have.
 * Lester, Al-Rfou & Constant, 2021. https://arxiv.org/abs/2104.08691
 */
export const promptTuning: MethodFactory<PromptTuningOptions> = defineMethod<PromptTuningOptions>({
  name: 'promptTuning',
  formula: {
    merges: false,
    options: { length: count('num_virtual_tokens', 20), init: rowInit, submodules: submodulesOption },
    attach: (model, scope, { length, init, submodules }) =>
      rowsInFront(model, { length, submodules }, (embedding) => {
        const all = length * submodules;
        const first = initOf(init, model, all, (ids) => gather(embedding.weight, constant(ids, [all])));
        return scope.param(rowsName, [all, embedding.dim], first);
      }),
  },
  files: {
    peftType: 'PROMPT_TUNING',
    computes: promptComputes,
    config: (model) => promptConfig(model, model.main.hiddenSize, model.main.heads),
    keys: { [rowsName]: rowsName },
  },
  card: {
    about: 'rows in front of the embeddings',
    paper: {
      authors: 'Lester et al.',
      year: 2021,
      title: 'The Power of Scale for Parameter-Efficient Prompt Tuning',
      url: 'https://arxiv.org/abs/2104.08691',
    },
    learningRate: 0.1,
  },
});
