import {
  type Chosen,
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  normal,
  uniform,
  wholeNumber,
} from '@peftjs/core';
import { add, broadcastTo, concat, matmul, PeftError, reshape, type Tensor } from '@peftjs/tensor';
import { type Around, type Path, slot } from '@peftjs/transformer';
import { checkTexts, classTexts, firstContext, type Place, withRowsAt } from './class-texts.ts';
import { lengthOfWords, wordIds } from './co-op.ts';
import { pictureTower } from './picture-tower.ts';

/** Options of `maple`. */
export interface MapleOptions {
  /** Rows m of a prompt. Default 2, or as many as there are `words`. */
  readonly length?: number;
  /** How many blocks read prompts of their own, in both towers. Default 0: nine, or as many as the towers have. */
  readonly depth?: number;
  /** Token ids whose embeddings the prompt of the first block begins as; the texts have these words where it goes. Default none: N(0, 0.02²). */
  readonly words?: readonly number[];
  /** The place of the prompt in a text: the tokens before it. Default 1, CLIP's start of a text. */
  readonly start?: number;
}

/** The authors' depth. */
const usualDepth = 9;

const placeOf = ({ length, words, start }: Chosen<MapleOptions>): Place => ({
  length: words.length || length,
  classes: 0,
  words,
  start,
});

/**
 * MaPLe: prompts in both towers, those of pictures made of those of texts. P_0 [m, d] takes the place of m words in the texts of classes, as CoOp's context; in block i < depth P_i [m, d] takes the place of what became of it. Beside
 * the patches of a picture stand m rows W_i P_i + b_i, W_i [d', d], without positions, in block i in the place of those before. First values of P are from N(0, 0.02²), or embeddings of words for P_0, those of W and b torch's of a layer; the
 * authors' W_i for i > 0 begin alike, here each as it is drawn. The rows stand before the class's, the authors put them last, and no row of that tower knows its place. With `zeroShot`, whose texts have placeholders. Does not merge. Throws `bad-option`, when attached `no-match` for a
 * model without texts beside pictures, and in a pass `bad-data` for texts without placeholders.
 * Khattak, Rasheed, Maaz, Khan & Khan, 2022. https://arxiv.org/abs/2210.03117, https://github.com/muzairkhattak/multimodal-prompt-learning
 */
export const maple: MethodFactory<MapleOptions> = defineMethod<MapleOptions>({
  name: 'maple',
  formula: {
    merges: false,
    options: {
      length: count('n_ctx', 2),
      depth: wholeNumber('prompt_depth', 0),
      words: wordIds,
      start: wholeNumber('ctx_start', 1),
    },
    check: lengthOfWords,
    attach: (model, scope, options) => {
      const place = placeOf(options);
      const { length, start } = place;
      const { tower: texts, path } = classTexts('maple', model, place);
      const pictures = pictureTower(model, 'maple', 'promptTuning');
      const [ofTexts, ofPictures] = [texts.paths('block'), pictures.paths('block')];
      const blocks = Math.min(ofTexts.length, ofPictures.length);
      const depth = options.depth || Math.min(usualDepth, blocks);
      if (depth > blocks)
        throw new PeftError(
          'bad-option',
          `maple: prompts in ${depth} blocks, and a tower has ${blocks}; give a smaller depth, or leave it out`,
        );
      const [d, wide] = [texts.hiddenSize, pictures.tower.hiddenSize];
      const coupled = (prompt: Tensor, name: string): Tensor => {
        const weight = scope.param(`${name}.weight`, [wide, d], kaimingUniform);
        const bias = scope.param(`${name}.bias`, [wide], uniform(1 / Math.sqrt(d)));
        return add(matmul(prompt, weight, { transposeB: true }), bias);
      };
      const context = scope.param('ctx', [length, d], firstContext('maple', model, texts, place, [length, d]));
      const beside = coupled(context, 'proj');
      const further = Array.from({ length: depth - 1 }, (_, i) => {
        const prompt: Tensor = scope.param(`compound_prompts_text.${i}`, [length, d], normal(0.02));
        return { prompt, beside: coupled(prompt, `compound_prompt_projections.${i}`) };
      });
      const rowsOf = (prompt: Tensor, batch: number): Tensor =>
        broadcastTo(reshape(prompt, [1, ...prompt.shape]), [batch, ...prompt.shape]);
      // Methods that come later put their rows before these.
      const [behindContext, behindPrompt] = [
        slot<number>('rows behind the context'),
        slot<number>('rows behind the prompt'),
      ];
      const replaceWords: Around<'embed'> = (ids, next, { pass }) => {
        checkTexts('maple', ids, place);
        const rows = next(ids);
        const [batch, all] = rows.shape as readonly [number, number];
        const from = all - ids.shape[1]! + start;
        pass.put(behindContext, all - from - length);
        return withRowsAt(rows, from, rowsOf(context, batch));
      };
      const putBeside: Around<'embed'> = (pixels, next, { pass }) => {
        const rows = next(pixels);
        pass.put(behindPrompt, rows.shape[1]!);
        return concat(rowsOf(beside, rows.shape[0]!), rows, { axis: 1 });
      };
      const replaceRows =
        (prompt: Tensor, behind: typeof behindContext): Around<'block'> =>
        (x, next, { pass }) => {
          const [batch, all] = x.shape as readonly [number, number];
          return next(withRowsAt(x, all - pass.get(behind)! - length, rowsOf(prompt, batch)));
        };
      return {
        around: {
          embed: new Map([
            [path, replaceWords],
            [pictures.paths('embed')[0]!, putBeside],
          ]),
          block: new Map(
            further.flatMap((own, i): [Path, Around<'block'>][] => [
              [ofTexts[i + 1]!, replaceRows(own.prompt, behindContext)],
              [ofPictures[i + 1]!, replaceRows(own.beside, behindPrompt)],
            ]),
          ),
        },
      };
    },
  },
  files: {
    peftType: 'PEFTJS_MAPLE',
    config: (_, options) => ({ n_ctx: placeOf(options).length }),
  },
  card: {
    about: 'prompts in the texts of classes, and rows made of them beside the patches of pictures, in CLIP',
    paper: {
      authors: 'Khattak et al.',
      year: 2022,
      title: 'MaPLe: Multi-modal Prompt Learning',
      url: 'https://arxiv.org/abs/2210.03117',
    },
    learningRate: 2e-3,
  },
});
