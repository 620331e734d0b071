import { count, defineMethod, type MethodFactory, type Option, type Projection, wholeNumber } from '@peftjs/core';
import { concat, slice, stopGradient, type Tensor, type Variable } from '@peftjs/tensor';
import { rowsName } from './encoder.ts';
import {
  activations,
  checkSubmodules,
  keyWidth,
  ownAttentions,
  peftPairs,
  prefixInFront,
  prefixSubmodules,
  prefixWidth,
} from './prefix.ts';
import { promptComputes, promptConfig } from './soft-prompt.ts';
import { initOf, isTextInit, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `cartridge`. */
export interface CartridgeOptions {
  /** Tokens m whose keys and values are trained. Default 20; the paper has 128 to 8192. */
  readonly length?: number;
  /** How many of the first tokens stay as they are: a sink of attention. Default 1. */
  readonly frozen?: number;
  /**
   * First values: `{ text: ids }`, the keys and values of the first m tokens of a text, as the paper advises; `vocabulary` (default), those of tokens drawn at random; `random`, N(0, 1), Hugging
   * Face PEFT's.
   */
  readonly init?: RowInit;
  /** As in `prefixTuning`. */
  readonly submodules?: number;
}

const initOption: Option<RowInit> = { ...rowInit, key: null }; // a file holds the values

const part = (rows: Tensor, start: number, end: number): Tensor => slice(rows, { axis: 0, start, end });

/** The first rows of one tensor, and the others of another. */
const joined = (front: Tensor, rest: Tensor, frozen: number): Tensor => {
  const [length] = rest.shape as readonly [number];
  if (frozen === 0) return rest;
  return frozen === length ? front : concat(part(front, 0, frozen), part(rest, frozen, length), { axis: 0 });
};

/** Whatever the optimiser did, decay included, the first rows stay. */
const keepsFirst =
  (rows: Variable, frozen: number): Projection =>
  (updated) => [[rows, joined(rows, updated(rows), frozen)]];

/**
 * Cartridge: a trained cache of keys and values, in every layer m of each before those of the tokens, whose positions count them. It begins as the cache of a text and learns
 * to stand for a corpus, by `distillation` from the model that reads that corpus (self-study); the first `frozen` tokens stay. Files are Hugging Face PEFT's.
 * In an encoder-decoder the decoder has it, with the layers in PEFT's odd order: see `prefixTuning`.
 * Does not merge. Throws `bad-option`, also when attached, for a text that is shorter than m or has tokens that the model does not have.
 * Eyuboglu et al., 2025. https://arxiv.org/abs/2506.06266 By huggingface/peft, tuners/cartridge.
 */
export const cartridge: MethodFactory<CartridgeOptions> = defineMethod<CartridgeOptions>({
  name: 'cartridge',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      frozen: wholeNumber('num_frozen_tokens', 1),
      init: initOption,
      submodules: prefixSubmodules,
    },
    check: ({ length = 20, frozen = 1, init }) => {
      if (frozen >= length) return `frozen must be below length, ${length}, got ${frozen}; nothing would be trained`;
      return isTextInit(init) && init.text.length < length
        ? `init: a text of ${length} tokens or more is needed, got ${init.text.length}`
        : null;
    },
    attach: (model, scope, { length, frozen, init, submodules }) => {
      const own = ownAttentions(model, 'cartridge');
      checkSubmodules(model, 'cartridge', submodules);
      const pairOf = peftPairs(model, own);
      const first = initOf(init, model, length, (ids) => activations(model, own, ids, pairOf));
      const rows = scope.param(rowsName, [length, prefixWidth(own)], first);
      return {
        ...prefixInFront(own, scope, joined(stopGradient(rows), rows, frozen), { pairOf }),
        positionShift: length,
        project: keepsFirst(rows, frozen),
      };
    },
  },
  files: {
    peftType: 'CARTRIDGE',
    computes: promptComputes,
    config: (model) => promptConfig(model, keyWidth(model.main), model.main.keyHeads),
    keys: { [rowsName]: rowsName },
  },
  card: {
    about: 'a cache of keys and values, which begins as that of a text',
    paper: {
      authors: 'Eyuboglu et al.',
      year: 2025,
      title: 'Cartridges: Lightweight and general-purpose long context representations via self-study',
      url: 'https://arxiv.org/abs/2506.06266',
    },
    learningRate: 2e-2,
    narrowRate: 0.1,
  },
});
