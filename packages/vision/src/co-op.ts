import { type Chosen, count, defineMethod, type MethodFactory, type Option, wholeNumber } from '@peftjs/core';
import { broadcastTo, reshape } from '@peftjs/tensor';
import type { Around } from '@peftjs/transformer';
import { checkTexts, classTexts, firstContext, type Place, withRowsAt } from './class-texts.ts';

/** Options of `coOp`. */
export interface CoOpOptions {
  /** Rows m of a context. Default 16, or as many as there are `words`. */
  readonly length?: number;
  /** How many classes there are, each of which then has a context of its own. Default 0: one context for all. */
  readonly classes?: number;
  /** Token ids whose embeddings are the first values; the texts have these words where the context goes. Default none: N(0, 0.02²). */
  readonly words?: readonly number[];
  /** The place of the context in a text: the tokens before it. Default 1, CLIP's start of a text; SigLIP's have none: 0. */
  readonly start?: number;
}

/** Token ids whose embeddings are first values. */
export const wordIds: Option<readonly number[]> = {
  key: 'ctx_init',
  fallback: () => [],
  expected: 'a list of token ids',
  accepts: (v) => Array.isArray(v) && v.every((id) => Number.isSafeInteger(id) && id >= 0),
};

/** The fault of a length that is not that of the words, which say it themselves; null for none. */
export const lengthOfWords = ({
  length,
  words,
}: {
  readonly length?: number;
  readonly words?: readonly number[];
}): string | null =>
  length !== undefined && words !== undefined && words.length > 0 && length !== words.length
    ? `words are ${words.length} tokens, and length is ${length}; leave length out`
    : null;

const placeOf = ({ length, classes, words, start }: Chosen<CoOpOptions>): Place => ({
  length: words.length || length,
  classes,
  words,
  start,
});

/**
 * CoOp: a context of m trained rows [m, d] in the texts of classes, in place of words, before each class's name: start of the text, context, name, end. The texts that `zeroShot` is given have m times one word of one token there, 'X X X X dog.', as in the
 * authors' code, and positions and ends are those of the texts. With `classes` each class has its own, [classes, m, d]. First values are from N(0, 0.02²), or embeddings of words. Both towers stay as they are, so more classes can be given afterwards, unless each
 * has its own context. The authors' other places of the name, in the middle and in front, are not here. Does not merge. Throws `bad-option`, when attached `no-match` for a model without texts beside pictures, and in a pass `bad-data` for texts without placeholders.
 * Zhou, Yang, Loy & Liu, 2021. https://arxiv.org/abs/2109.01134, https://github.com/KaiyangZhou/CoOp
 */
export const coOp: MethodFactory<CoOpOptions> = defineMethod<CoOpOptions>({
  name: 'coOp',
  formula: {
    merges: false,
    options: {
      length: count('n_ctx', 16),
      classes: wholeNumber('n_cls', 0),
      words: wordIds,
      start: wholeNumber('ctx_start', 1),
    },
    check: lengthOfWords,
    attach: (model, scope, options) => {
      const place = placeOf(options);
      const { length, classes, start } = place;
      const { tower, path } = classTexts('coOp', model, place);
      const d = tower.hiddenSize;
      const shape = classes > 0 ? [classes, length, d] : [length, d];
      const context = scope.param('ctx', shape, firstContext('coOp', model, tower, place, shape));
      const replace: Around<'embed'> = (texts, next) => {
        checkTexts('coOp', texts, place);
        const rows = next(texts);
        const [batch, all] = rows.shape as readonly [number, number, number];
        const own = broadcastTo(classes > 0 ? context : reshape(context, [1, length, d]), [batch, length, d]);
        // Methods beneath may have put rows in front.
        return withRowsAt(rows, all - texts.shape[1]! + start, own);
      };
      return { around: { embed: new Map([[path, replace]]) } };
    },
  },
  files: {
    peftType: 'PEFTJS_COOP',
    computes: { class_token_position: ['end'] },
    config: (_, options) => ({ n_ctx: placeOf(options).length, class_token_position: 'end' }),
  },
  card: {
    about: 'context before the names of classes in the texts of CLIP',
    paper: {
      authors: 'Zhou et al.',
      year: 2021,
      title: 'Learning to Prompt for Vision-Language Models',
      url: 'https://arxiv.org/abs/2109.01134',
    },
    learningRate: 2e-3,
  },
});
