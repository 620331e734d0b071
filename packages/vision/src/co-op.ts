import {
  type Chosen,
  count,
  defineMethod,
  type Init,
  type MethodFactory,
  normal,
  type Option,
  wholeNumber,
} from '@peftjs/core';
import { broadcastTo, concatAll, constant, gather, PeftError, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Model, type Tower, tokenTableOf } from '@peftjs/transformer';
import { textsBesidePictures } from './pair-towers.ts';

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

const ids: Option<readonly number[]> = {
  key: 'ctx_init',
  fallback: () => [],
  expected: 'a list of token ids',
  accepts: (v) => Array.isArray(v) && v.every((id) => Number.isSafeInteger(id) && id >= 0),
};

/** Where a context goes. */
interface Place {
  readonly length: number;
  readonly classes: number;
  readonly words: readonly number[];
  readonly start: number;
}

const placeOf = ({ length, classes, words, start }: Chosen<CoOpOptions>): Place => ({
  length: words.length || length,
  classes,
  words,
  start,
});

/** Whether a text has in that place the words, or one token again and again, and before and after it others. */
const hasPlace = (text: readonly number[], placeholder: number, { length, words, start }: Place): boolean => {
  const [there, end] = [text.slice(start, start + length), start + length];
  if (end >= text.length) return false;
  if (words.length > 0) return there.every((id, i) => id === words[i]);
  return there.every((id) => id === placeholder) && text[end] !== placeholder && text[start - 1] !== placeholder;
};

/** Refuses texts in which a context would stand for something else than placeholders. Throws `bad-option`, `bad-data`. */
const checkTexts = ({ node, shape }: Tensor, place: Place): void => {
  const [texts, tokens] = shape as readonly [number, number];
  const { length, classes, words, start } = place;
  if (node.kind !== 'constant')
    throw new PeftError(
      'bad-option',
      'coOp: a context takes the place of words in the texts of classes, and the texts of this pass are known only later; load the model for zeroShot',
    );
  if (classes > 0 && classes !== texts)
    throw new PeftError(
      'bad-option',
      `coOp: there are contexts for ${classes} classes, and texts of ${texts}; give classes: ${texts}, or leave it out for one context`,
    );
  const rows = Array.from({ length: texts }, (_, i) =>
    Array.from(node.data.subarray(i * tokens, (i + 1) * tokens) as Int32Array),
  );
  const odd = rows.findIndex((row) => !hasPlace(row, rows[0]![start]!, place));
  if (odd < 0) return;
  const wanted =
    words.length > 0
      ? `the words ${words.join(', ')}`
      : `one placeholder ${length} times, neither more nor fewer and in all texts the same,`;
  throw new PeftError(
    'bad-data',
    `coOp: the text of each class must have ${wanted} after its first ${start} tokens, and then its name; that of class ${odd} is ${rows[odd]!.join(', ')}. Give zeroShot such texts: 'X X X X dog.' for length: 4`,
  );
};

/** The first values of all contexts. Throws `bad-option` for words that the model does not have. */
const firstValues = (model: Model, tower: Tower, { words }: Place, shape: readonly number[]): Init => {
  if (words.length === 0) return normal(0.02);
  const table = tokenTableOf(model, tower, 'coOp');
  const foreign = words.filter((id) => id >= table.rows);
  if (foreign.length > 0)
    throw new PeftError(
      'bad-option',
      `coOp: words has tokens ${foreign.join(', ')}, the vocabulary is 0 to ${table.rows - 1}`,
    );
  return broadcastTo(gather(table.weight, constant(Int32Array.from(words), [words.length])), shape);
};

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
      words: ids,
      start: wholeNumber('ctx_start', 1),
    },
    check: ({ length, words }) =>
      length !== undefined && words !== undefined && words.length > 0 && length !== words.length
        ? `words are ${words.length} tokens, and length is ${length}; leave length out`
        : null,
    attach: (model, scope, options) => {
      const tower = textsBesidePictures(model, 'coOp');
      const place = placeOf(options);
      const { length, classes, start } = place;
      const [path] = tower.paths('embed').filter((site) => model.paths('embed').includes(site));
      if (path === undefined)
        throw new PeftError('no-match', 'coOp: this part of the model has no embeddings of texts');
      if (start + length >= model.positionsLeft)
        throw new PeftError(
          'bad-option',
          `coOp: a context of ${length} rows from place ${start} on leaves no room for a name in the ${model.positionsLeft} positions of a text; give a smaller length`,
        );
      const d = tower.hiddenSize;
      const shape = classes > 0 ? [classes, length, d] : [length, d];
      const context = scope.param('ctx', shape, firstValues(model, tower, place, shape));
      const replace: Around<'embed'> = (texts, next) => {
        checkTexts(texts, place);
        const rows = next(texts);
        const [batch, all] = rows.shape as readonly [number, number, number];
        // Methods beneath may have put rows in front.
        const from = all - texts.shape[1]! + start;
        const part = (first: number, end: number): Tensor => slice(rows, { axis: 1, start: first, end });
        const own = broadcastTo(classes > 0 ? context : reshape(context, [1, length, d]), [batch, length, d]);
        return concatAll([...(from > 0 ? [part(0, from)] : []), own, part(from + length, all)], 1);
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
