import { count, defineMethod, type MethodFactory, type Option } from '@peftjs/core';
import { constant, gather } from '@peftjs/tensor';
import { rowsName } from './encoder.ts';
import { promptComputes, promptConfig, rowsInFront, submodulesOption } from './soft-prompt.ts';
import { isTrainedPrompt, type TrainedPrompt, trainedRows } from './trained-prompt.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `promptTuning`. */
export interface PromptTuningOptions {
  /** Virtual tokens m. Default 20, beyond which the paper finds marginal gains. */
  readonly length?: number;
  /**
   * First values: `vocabulary` (default), the embeddings of tokens drawn at random; `{ text: ids }`, those of a text, repeated or cut to m
   * tokens; `{ prompt: await snapshot(adapted, { executor }) }`, a prompt that was trained on another task (SPoT); `random`, N(0, 1), which lies far from any embedding. The paper finds words and class labels clearly ahead of noise.
   */
  readonly init?: RowInit | TrainedPrompt;
  /** Towers that there are rows for, of which the first alone reads its: 2 in files of Hugging Face PEFT for encoder-decoders. Default 1. */
  readonly submodules?: number;
}

/** The option of first rows: those of a vocabulary, or of a trained prompt. */
const initOption: Option<RowInit | TrainedPrompt> = {
  ...rowInit,
  expected: "'random', 'vocabulary', { text: token ids } or { prompt: a snapshot }",
  accepts: (v) => rowInit.accepts(v) || isTrainedPrompt(v),
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
    options: { length: count('num_virtual_tokens', 20), init: initOption, submodules: submodulesOption },
    attach: (model, scope, { length, init, submodules }) =>
      rowsInFront(model, { length, submodules }, (embedding) => {
        const all = length * submodules;
        const first = isTrainedPrompt(init)
          ? constant(trainedRows('promptTuning: init', init.prompt, [all, embedding.dim]), [all, embedding.dim])
          : initOf(init, model, all, (ids) => gather(embedding.weight, constant(ids, [all])));
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
