import { PeftError } from '@peftjs/tensor';
import { type Activation, activations } from '../activation.ts';
import type { HeadName, Task } from './task.ts';

/** A head of layers on a model's rows, in place of the one that the class of transformers has: the default heads of the adapters library. */
export interface HeadStack {
  /** How many layers L there are. */
  readonly layers: number;
  /** The function between two layers; null for none. */
  readonly activation: Activation | null;
  /** Whether one row of a text or picture goes through the model's pooler first. */
  readonly pooler: boolean;
  /** Whether the last layer has a bias; the others have one always. */
  readonly bias: boolean;
  /** Of its files alone, as the dropout of a base is off here: the probability that an input of its layers is dropped while training; null: that of the base's config. */
  readonly dropout: number | null;
}

/** Tasks whose head may be such layers, with how many there are by default. */
const defaultLayers: { readonly [H in HeadName]?: number } = {
  sequenceClassifier: 2,
  multipleChoice: 2,
  tokenClassifier: 1,
  questionAnswering: 1,
  imageClassifier: 1,
};

/** Tasks that read one row of a whole text or picture. */
export const readsOneRow = ({ head }: Pick<Task<unknown>, 'head'>): boolean =>
  head !== 'tokenClassifier' && head !== 'questionAnswering';

/** Layers in a head at most: a file may say any number. */
const mostLayers = 64;

const isRate = (value: unknown): boolean =>
  value === null || (typeof value === 'number' && value >= 0 && value < 1 && Number.isFinite(value));

const faultOf = (task: Task<unknown>, { layers, activation, pooler, bias, dropout }: HeadStack): string | null => {
  if (!Number.isSafeInteger(layers) || layers < 1 || layers > mostLayers)
    return `layers must be a whole number from 1 to ${mostLayers}, got ${String(layers)}`;
  if (activation !== null && !Object.hasOwn(activations, activation))
    return `activation must be null or one of ${Object.keys(activations).join(', ')}, got ${String(activation)}`;
  if (typeof pooler !== 'boolean' || typeof bias !== 'boolean') return 'pooler and bias must be true or false';
  if (!bias && !['sequenceClassifier', 'imageClassifier'].includes(task.head))
    return `bias: false is for classes of texts and pictures, and ${task.name} has one`;
  if (pooler && !readsOneRow(task)) return `pooler is for heads that read one row, and ${task.name} reads all`;
  return isRate(dropout) ? null : `dropout must be null or a number from 0 to below 1, got ${String(dropout)}`;
};

/**
 * A task whose head is a stack of layers: y = W_L f(… f(W_1 x + b_1) …) + b_L, where x is the row that the model's class of the adapters library reads (a text's first row, its
 * last end, a picture's class; of tags and answers each token's), W_i [d, d], W_L [outputs, d], b_i zeros. Between two layers is f; after the last there is none. Tags whose token the mask hides do not count in that library's loss: give them −100. By default as that library
 * adds heads: f = tanh, no pooler, a bias, two layers for whole texts and choices, one for tokens, answers and pictures. Its files, `head_config.json` and
 * `model_head.safetensors`, are written and read with the adapter's. For models of the families that have an `…AdapterModel` here; loading says which have none. Throws `bad-option`.
 * Source: adapter-hub/adapters 1.3, `heads/base.py`.
 */
export const stackedHead = <Out>(task: Task<Out>, options: Partial<HeadStack> = {}): Task<Out> => {
  const layers = defaultLayers[task.head];
  if (layers === undefined)
    throw new PeftError(
      'bad-option',
      `stackedHead: is for ${Object.keys(defaultLayers).join(', ')}, not for ${task.name}`,
    );
  const unknown = Object.keys(options).filter(
    (name) => !['layers', 'activation', 'pooler', 'bias', 'dropout'].includes(name),
  );
  if (unknown.length > 0) throw new PeftError('bad-option', `stackedHead: there is no option ${unknown.join(', ')}`);
  const stack: HeadStack = { layers, activation: 'tanh', pooler: false, bias: true, dropout: null, ...options };
  const fault = faultOf(task, stack);
  if (fault !== null) throw new PeftError('bad-option', `stackedHead: ${fault}`);
  return { ...task, stack };
};
