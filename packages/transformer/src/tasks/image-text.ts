import {
  abs,
  add,
  checkOptions,
  constant,
  exp,
  log,
  matmul,
  maximum,
  mul,
  mustBe,
  neg,
  PeftError,
  type Rules,
  reshape,
  shapeError,
  sum,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Loss } from '../loss.ts';
import { type Slot, slot } from '../pass.ts';
import { normalized } from '../pooling.ts';
import { classLoss } from './class-losses.ts';
import { crossEntropies } from './head-loss.ts';
import { labelNames } from './label-names.ts';
import { labelsOf } from './labels-of.ts';
import type { Head, Pair, Task } from './task.ts';

const pairOf = (who: string, { pair }: Head): Pair => {
  if (pair) return pair;
  throw new PeftError('bad-option', `${who}: this model has no vectors of pictures and texts; load a CLIP for it`);
};

/** One side's vectors. Throws `bad-option` where its inputs were not given. */
const vectorsOf = (who: string, head: Head, side: 'image' | 'text'): Tensor => {
  const vectors = pairOf(who, head)[side];
  if (vectors) return vectors;
  throw new PeftError('bad-option', `${who}: the input ${side === 'image' ? 'pixels' : 'ids'} is missing`);
};

/**
 * Logits that methods add to those of classes by their texts: [pictures, classes], made of the vectors of pictures [pictures, d], of length 1, and the number of classes. Put before the
 * task reads the pass, at the site `model` or later; the last one counts, so put one that adds to what is there.
 */
export const addedLogits: Slot<(vectors: Tensor, classes: number) => Tensor> = slot('added logits of classes');

/** cos(picture, text): [pictures, texts]; of texts [texts, d], or [pictures, texts, d] where each picture has its own. */
const cosines = (image: Tensor, text: Tensor): Tensor => {
  const [pictures, d] = image.shape as readonly [number, number];
  if (text.shape.length === 2) return matmul(normalized(image), normalized(text), { transposeB: true });
  const own = matmul(reshape(normalized(image), [pictures, 1, d]), normalized(text), { transposeB: true });
  return reshape(own, [pictures, text.shape[1]!]);
};

/** scale · cos(picture, text) + bias: [pictures, texts]. */
const likeness = (who: string, head: Head): Tensor => {
  const { scale, bias } = pairOf(who, head);
  const [image, text] = [vectorsOf(who, head, 'image'), vectorsOf(who, head, 'text')];
  const logits = mul(cosines(image, text), scale);
  return bias ? add(logits, bias) : logits;
};

/** The same of pairs that are no classes. Throws `bad-option` where a method would add to the logits of such. */
const likenessOfPairs = (who: string, head: Head): Tensor => {
  if (head.call.pass.get(addedLogits))
    throw new PeftError(
      'bad-option',
      `${who}: a method adds logits of classes, and it has none; load the model for zeroShot`,
    );
  return likeness(who, head);
};

/** The same of classes, with what methods add. */
const likenessOfClasses = (who: string, head: Head): Tensor => {
  const logits = likeness(who, head);
  const added = head.call.pass.get(addedLogits);
  return added ? add(logits, added(normalized(vectorsOf(who, head, 'image')), logits.shape[1]!)) : logits;
};

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

const places = (count: number): Tensor =>
  constant(
    Int32Array.from({ length: count }, (_, i) => i),
    [count],
  );

/** ½ (−log softmax over the texts + −log softmax over the pictures) of each pair, summed: logits [n, n], of which the i-th belong together. */
const chosenLoss = (logits: Tensor): Loss => {
  const [count] = logits.shape as readonly [number, number];
  const ofTexts = crossEntropies(logits, places(count));
  const ofPictures = crossEntropies(transpose(logits, [1, 0]), places(count));
  return { sum: mul(sum(add(ofTexts, ofPictures)), 0.5), weight: number(count) };
};

/** −log σ(±z) of all pairs, + for those that belong together, summed: logits [n, n]. log(1 + e^(−x)) is max(−x, 0) + log(1 + e^(−|x|)), which never overflows. */
const decidedLoss = (logits: Tensor): Loss => {
  const [count] = logits.shape as readonly [number, number];
  const signs = constant(
    Float32Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : -1)),
    [count, count],
  );
  const x = mul(signs, logits);
  return { sum: sum(add(maximum(neg(x), 0), log(add(exp(neg(abs(x))), 1)))), weight: number(count) };
};

/**
 * Pictures and their texts. Inputs: `pixels`, `ids`, `mask`. Outputs: logits [pictures, texts], scale · cos(picture, text). The loss takes the i-th text as that of the
 * i-th picture and all others of the batch as wrong ones, so batches of another size are another loss: half the cross-entropies of choosing the text
 * and of choosing the picture, in nats, summed over pairs; of SigLIP −log σ(logit) of each pair of the batch that belongs together and −log σ(−logit) of all others.
 * Radford et al., 2021, https://arxiv.org/abs/2103.00020; Zhai et al., 2023, https://arxiv.org/abs/2303.15343; transformers, `CLIPModel`, `SiglipModel`. Throws `bad-shape` for a
 * loss of more pictures than texts, or fewer.
 */
export const imageText = (): Task<Tensor> => {
  const name = 'imageText';
  return {
    name,
    type: null,
    head: 'imageText',
    labels: null,
    columns: {},
    outputs: (head) => likenessOfPairs(name, head),
    loss: (head) => {
      const logits = likenessOfPairs(name, head);
      if (logits.shape[0] !== logits.shape[1])
        throw shapeError(name, [logits], 'a loss needs a text for each picture, in the same order');
      return head.pair?.decides === 'sigmoid' ? decidedLoss(logits) : chosenLoss(logits);
    },
  };
};

/** Options of `imageFeatures` and `textFeatures`. */
export interface PairFeatureOptions {
  /** Whether vectors are brought to length 1. Default false. */
  readonly normalize?: boolean;
}

const sideFeatures = (
  name: string,
  side: 'image' | 'text',
  tower: string,
  { normalize = false }: PairFeatureOptions,
): Task<Tensor> => ({
  name,
  type: null,
  head: 'imageText',
  labels: null,
  towers: [tower],
  columns: {},
  outputs: (head) => {
    const vectors = vectorsOf(name, head, side);
    return normalize ? normalized(vectors) : vectors;
  },
  loss: () => {
    throw new PeftError('bad-option', `${name}: has no loss; train with imageText() or zeroShot(…)`);
  },
});

/** Vectors of pictures in the space that they share with texts. Input: `pixels`. Outputs: [pictures, d]. transformers, `get_image_features`. */
export const imageFeatures = (options: PairFeatureOptions = {}): Task<Tensor> =>
  sideFeatures('imageFeatures', 'image', 'vision', options);

/** Vectors of texts in the space that they share with pictures. Inputs: `ids`, `mask`. Outputs: [texts, d]. transformers, `get_text_features`. */
export const textFeatures = (options: PairFeatureOptions = {}): Task<Tensor> =>
  sideFeatures('textFeatures', 'text', 'text', options);

/** Options of `zeroShot`. */
export interface ZeroShotOptions {
  /** The classes' names. */
  readonly labels: readonly string[];
  /** Token ids of a text as the model wants them, the ends of the text among them: `(text) => tokenizer.encode(text)`. */
  readonly encode: (text: string) => ArrayLike<number>;
  /** A text for each class, in their order. Default `a photo of a dog.` of each name. */
  readonly texts?: readonly string[];
  /** The id of the tokens that shorter texts get on their right. Default: texts of unlike length are refused. */
  readonly padId?: number;
  /** To how many tokens they are brought with `padId`: SigLIP, whose last token stands for the text, wants all that it was trained with. Default the longest. */
  readonly length?: number;
}

const rules: Rules<ZeroShotOptions> = {
  labels: mustBe.such('a list of names', Array.isArray),
  encode: mustBe.such('a function that gives the token ids of a text', (v) => typeof v === 'function'),
  texts: mustBe.such('a list of texts', (v) => Array.isArray(v) && v.every((text) => typeof text === 'string')),
  padId: mustBe.whole,
  length: mustBe.whole,
};

/** The texts' ids in rows of one length, [classes, tokens]. Throws `bad-option`. */
const rowsOf = (who: string, { labels, encode, texts, padId, length }: ZeroShotOptions): Tensor => {
  const all = texts ?? labels.map((name) => `a photo of a ${name}.`);
  if (all.length !== labels.length)
    throw new PeftError(
      'bad-option',
      `${who}: there are ${all.length} texts for ${labels.length} labels; give one for each`,
    );
  const rows = all.map((text) => Array.from(encode(text)));
  const tokens = Math.max(length ?? 0, ...rows.map((row) => row.length));
  const short = rows.findIndex((row) => row.length < tokens);
  const odd = rows.findIndex((row) => row.length === 0 || !row.every((id) => Number.isSafeInteger(id) && id >= 0));
  if (odd >= 0)
    throw new PeftError(
      'bad-option',
      `${who}: encode gave no token ids for ${JSON.stringify(all[odd])}, but ${JSON.stringify(rows[odd]).slice(0, 80)}`,
    );
  if (length !== undefined && tokens > length)
    throw new PeftError('bad-option', `${who}: a text has ${tokens} tokens, length is ${length}; shorten the texts`);
  if (short >= 0 && padId === undefined)
    throw new PeftError(
      'bad-option',
      `${who}: texts have up to ${tokens} tokens, ${JSON.stringify(all[short])} has ${rows[short]!.length}; give padId, the id that fills them on the right (of CLIP the end of a text)`,
    );
  const filled = rows.flatMap((row) => [...row, ...Array.from({ length: tokens - row.length }, () => padId!)]);
  return constant(Int32Array.from(filled), [labels.length, tokens]);
};

/**
 * Classifying pictures by the texts of classes, without a classifier that is trained. Input: `pixels`. Outputs: logits [pictures, classes], scale · cos(picture,
 * text of the class). The loss is the cross-entropy in nats, summed over pictures; `labels` i32 [pictures], −100 for none. The texts are part of the task, and run through
 * their tower in every pass, so that what is trained there counts. Radford et al., 2021, section 3.1, https://arxiv.org/abs/2103.00020. Throws `bad-option`.
 */
export const zeroShot = (options: ZeroShotOptions): Task<Tensor> => {
  const name = 'zeroShot';
  checkOptions(name, rules, options);
  const labels = labelNames(name, options.labels);
  return {
    name,
    type: null,
    head: 'imageText',
    labels,
    towers: ['vision'],
    gives: { ids: rowsOf(name, { ...options, labels }) },
    columns: { labels: { shape: [], dtype: 'i32' } },
    predicts: 'classes',
    outputs: (head) => likenessOfClasses(name, head),
    loss: (head, inputs) => {
      const logits = likenessOfClasses(name, head);
      return classLoss(logits, labelsOf(name, inputs, [logits.shape[0]!]), -100, {});
    },
  };
};
