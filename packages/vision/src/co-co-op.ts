import { count, defineMethod, kaimingUniform, type MethodFactory, uniform, wholeNumber } from '@peftjs/core';
import { add, broadcastTo, constant, PeftError, relu, reshape, type Tensor } from '@peftjs/tensor';
import { type Around, affine, normalized, slot } from '@peftjs/transformer';
import { checkTexts, classTexts, firstContext, withRowsAt } from './class-texts.ts';
import { lengthOfWords, wordIds } from './co-op.ts';
import { pictureTower } from './picture-tower.ts';

/** Options of `coCoOp`. */
export interface CoCoOpOptions {
  /** Rows m of the context. Default 4, or as many as there are `words`. */
  readonly length?: number;
  /** Token ids whose embeddings are the first values; the texts have these words where the context goes. Default none: N(0, 0.02²). The authors' are those of `a photo of a`. */
  readonly words?: readonly number[];
  /** The place of the context in a text: the tokens before it. Default 1, CLIP's start of a text. */
  readonly start?: number;
  /** The inner width of the net is that of a picture's vector over this, rounded down. Default 16. */
  readonly reduction?: number;
}

/** [texts, …] for each picture: [pictures · texts, …]. */
const forEach = (x: Tensor, pictures: number): Tensor => {
  const [texts, ...others] = x.shape as readonly [number, ...number[]];
  if (x.node.kind !== 'constant')
    return reshape(broadcastTo(reshape(x, [1, texts, ...others]), [pictures, texts, ...others]), [
      pictures * texts,
      ...others,
    ]);
  const { data } = x.node;
  const repeated = new (data.constructor as Int32ArrayConstructor)(pictures * data.length);
  for (let i = 0; i < pictures; i++) repeated.set(data as Int32Array, i * data.length);
  return constant(repeated, [pictures * texts, ...others]);
};

/**
 * CoCoOp: CoOp's context, moved by what is seen: each picture has texts of its own, whose m context rows are ctx + W₂ relu(W₁ v + b₁) + b₂, v the picture's vector of length 1; ctx [m, d], W₁ [h, p], W₂ [d, h], h = ⌊p / reduction⌋, p the width of the vectors.
 * A picture is compared with its own texts, so a step of B pictures and C classes runs B · C texts: the authors train one picture at a time. Texts are as `coOp` wants them. ctx is from N(0, 0.02²), or embeddings of words; W and b of both layers from U(−1/√in, 1/√in). Both towers stay as they are, and more classes can be given afterwards. Does not merge.
 * Throws `bad-option`, when attached `no-match` for a model without texts beside pictures, and in a pass `bad-data` for texts without placeholders.
 * Zhou, Yang, Loy & Liu, 2022. https://arxiv.org/abs/2203.05557, https://github.com/KaiyangZhou/CoOp, trainers/cocoop.py
 */
export const coCoOp: MethodFactory<CoCoOpOptions> = defineMethod<CoCoOpOptions>({
  name: 'coCoOp',
  formula: {
    merges: false,
    options: {
      length: count('n_ctx', 4),
      words: wordIds,
      start: wholeNumber('ctx_start', 1),
      reduction: count('meta_reduction', 16),
    },
    check: lengthOfWords,
    attach: (model, scope, { words, start, reduction, ...given }) => {
      const length = words.length || given.length;
      const place = { length, classes: 0, words, start };
      const { tower, path } = classTexts('coCoOp', model, place);
      const pictures = pictureTower(model, 'coCoOp', 'promptTuning').tower.reads.ids;
      const [d, p] = [tower.hiddenSize, model.pairSize];
      if (p === null)
        throw new PeftError('no-match', 'coCoOp: the model gives no vectors of pictures; load it for zeroShot');
      const inner = Math.floor(p / reduction);
      if (inner === 0)
        throw new PeftError(
          'bad-option',
          `coCoOp: reduction ${reduction} leaves nothing of a picture's vector of ${p} values; give a smaller one`,
        );
      const context = scope.param('ctx', [length, d], firstContext('coCoOp', model, tower, place, [length, d]));
      const layer = (name: string, outDim: number, inDim: number) => ({
        weight: scope.param(`meta_net.${name}.weight`, [outDim, inDim], kaimingUniform),
        bias: scope.param(`meta_net.${name}.bias`, [outDim], uniform(1 / Math.sqrt(inDim))),
      });
      const [first, second] = [layer('linear1', inner, p), layer('linear2', d, inner)];
      const moved = slot<Tensor>('contexts of the pictures');

      /** The pictures first, then the texts of each; where another method looks so around this one, they come one after the other. */
      const look: Around<'model'> = (inputs, next, { pass }) => {
        const [texts, pixels] = [inputs[tower.reads.ids], inputs[pictures]];
        if (texts) checkTexts('coCoOp', texts, place);
        if (!pixels && !pass.get(moved))
          throw new PeftError(
            'bad-option',
            'coCoOp: texts depend on the picture, and there is none; give pixels beside the texts',
          );
        if (!pixels) return next(inputs);
        const seen = next({ [pictures]: pixels });
        const image = seen.pair()!.image!;
        const batch = image.shape[0]!;
        const shift = affine(relu(affine(normalized(image), first)), second); // [pictures, d]
        pass.put(moved, add(reshape(context, [1, length, d]), reshape(shift, [batch, 1, d])));
        if (!texts) return seen;
        const { labels: _, [pictures]: __, ...ofTexts } = inputs;
        const told = next(Object.fromEntries(Object.entries(ofTexts).map(([name, x]) => [name, forEach(x, batch)])));
        return {
          ...seen,
          byTower: new Map([...told.byTower, ...seen.byTower]),
          pair: () => {
            const { text } = told.pair()!;
            return { ...seen.pair()!, text: reshape(text!, [batch, texts.shape[0]!, p]) };
          },
        };
      };
      const replace: Around<'embed'> = (ids, next, { pass }) => {
        const rows = next(ids);
        const [all, tokens] = rows.shape as readonly [number, number, number];
        const own = pass.get(moved);
        if (!own) return rows;
        const batch = own.shape[0]!;
        const each = broadcastTo(reshape(own, [batch, 1, length, d]), [batch, all / batch, length, d]);
        // Methods beneath may have put rows in front.
        return withRowsAt(rows, tokens - ids.shape[1]! + start, reshape(each, [all, length, d]));
      };
      return { around: { model: new Map([['', look]]), embed: new Map([[path, replace]]) } };
    },
  },
  files: {
    peftType: 'PEFTJS_COCOOP',
    config: (_, { words, length }) => ({ n_ctx: words.length || length }),
  },
  card: {
    about: 'context before the names of classes in the texts of CLIP, moved by what a picture shows',
    paper: {
      authors: 'Zhou et al.',
      year: 2022,
      title: 'Conditional Prompt Learning for Vision-Language Models',
      url: 'https://arxiv.org/abs/2203.05557',
    },
    learningRate: 2e-3,
  },
});
