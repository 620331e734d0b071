import * as z from 'zod';
import type { Named } from './named.ts';

const number = z.number();
const positive = number.positive();
const share = number.min(0).max(1);
const labels = z
  .array(z.string())
  .min(1)
  .optional()
  .describe('names of the classes, in the order of their numbers; default: those that the examples have');

const taskSchema = <N extends string, S extends z.core.$ZodLooseShape>(name: N, about: string, own: S) =>
  z.strictObject({ name: z.literal(name), ...own }).describe(about);

/** The tasks by name: what a model is to do. */
export const task = z.discriminatedUnion('name', [
  taskSchema('causalLM', 'writing: the next token of conversations, completions, texts', {}),
  taskSchema('seq2seqLM', 'writing by an encoder and a decoder: source and target', {}),
  taskSchema('sequenceClassifier', 'the class of a text, or of two, or numbers to be estimated', {
    labels,
    problem: z
      .enum(['single-label', 'multi-label', 'regression'])
      .default('single-label')
      .describe('one class of several, any number of them, or a number'),
  }),
  taskSchema('tokenClassifier', 'the class of each word: names, parts of speech', { labels }),
  taskSchema('featureExtraction', 'vectors of texts that lie close where the texts belong together', {
    pooling: z
      .enum(['mean', 'mean-sqrt', 'cls', 'last', 'max'])
      .default('mean')
      .describe('how the states of a text become its vector'),
    loss: z
      .enum(['multipleNegatives', 'triplets', 'cosineSimilarity', 'contrastivePairs'])
      .default('multipleNegatives')
      .describe(
        'multipleNegatives of { anchor, positive }, perhaps { negative }; triplets of all three; the others of sentence1, sentence2 and label',
      ),
  }),
  taskSchema('imageClassifier', 'the class of a picture: a folder with a folder for each class', { labels }),
]) as unknown as z.ZodType<Named, Named>;

const beta = positive.optional().describe('how much it costs to leave the base');

/** The objectives by name: the losses that are not the task's own. */
export const objective = z.discriminatedUnion('name', [
  taskSchema('dpo', 'DPO: the chosen one of two answers, compared with the base', {
    beta,
    loss: z
      .enum(['sigmoid', 'hinge', 'ipo', 'robust', 'exo', 'nca', 'bco', 'sppo', 'apoZero', 'apoDown', 'sigmoidNorm'])
      .optional(),
    labelSmoothing: number.min(0).max(0.5).optional(),
  }),
  taskSchema('orpo', 'ORPO: the chosen one of two answers, without the base', { beta }),
  taskSchema('cpo', 'CPO: the chosen one of two answers, and learning it', {
    beta,
    loss: z.enum(['sigmoid', 'hinge', 'ipo']).optional(),
    labelSmoothing: number.min(0).max(0.5).optional(),
    supervised: number.min(0).optional(),
  }),
  taskSchema('simpo', 'SimPO: the chosen one of two answers by its mean log-probability', {
    beta,
    margin: number.optional(),
    labelSmoothing: number.min(0).max(0.5).optional(),
    supervised: number.min(0).optional(),
  }),
  taskSchema('kto', 'KTO: answers that are known to be good or bad', {
    beta,
    desirable: positive.optional().describe('weight of good answers'),
    undesirable: positive.optional().describe('weight of bad answers'),
  }),
  taskSchema('distillation', 'the outputs of a teacher beside the labels', {
    teacher: z
      .string()
      .optional()
      .describe('a model, a run or an adapter over the same vocabulary; default: the base without the adapter'),
    temperature: positive.optional().describe('outputs are divided by it'),
    weight: share.optional().describe('share of the teacher in the loss'),
  }),
]) as unknown as z.ZodType<Named, Named>;
