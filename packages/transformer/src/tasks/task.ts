import type { DType, Tensor } from '@peftjs/tensor';
import type { Linear } from '../linear.ts';
import type { Loss } from '../loss.ts';
import type { Call } from '../pass.ts';
import type { Inputs } from '../states.ts';
import type { HeadStack } from './stacked-head.ts';

/** `task_type` in Hugging Face PEFT's files; null where it has none. */
export type TaskType = 'CAUSAL_LM' | 'SEQ_2_SEQ_LM' | 'SEQ_CLS' | 'TOKEN_CLS' | 'QUESTION_ANS' | 'FEATURE_EXTRACTION';

/** The heads that classes of transformers have; `features` is that of a class without one. */
export type HeadName =
  | 'causalLM'
  | 'seq2seqLM'
  | 'maskedLM'
  | 'sequenceClassifier'
  | 'tokenClassifier'
  | 'questionAnswering'
  | 'multipleChoice'
  | 'imageClassifier'
  | 'imageText'
  | 'features';

/** One column of a batch: the shape of a row of it, where a word names a length that all rows share, and its dtype. */
export interface Column {
  readonly shape: readonly (number | string)[];
  readonly dtype: DType;
  /** Whole values are below this, and at least 0: ids of tasks. Default: any. */
  readonly below?: number;
}

/** Vectors of pictures and of texts in one space of d numbers, not yet of length 1, and how their likeness becomes logits: scale · cos(picture, text) + bias. */
export interface Pair {
  /** [pictures, d]; null where no pictures were given. */
  readonly image: Tensor | null;
  /** [texts, d], or [pictures, texts, d] where each picture has texts of its own; null where no texts were given. */
  readonly text: Tensor | null;
  /** [] */
  readonly scale: Tensor;
  /** []; null for none. */
  readonly bias: Tensor | null;
  /** How the model was trained to find which text belongs to which picture: `softmax` by choosing among those of the batch, `sigmoid` by deciding for each pair alone. */
  readonly decides: 'softmax' | 'sigmoid';
}

/** A model's head in a pass. */
export interface Head {
  /** The last layer. */
  readonly layer: Linear;
  /** The rows that it reads: [batch, tokens, d] or [batch, d]. */
  readonly features: Tensor;
  /** f32 [batch, tokens], 1 for tokens of the tower that the task reads; null where all are. */
  readonly mask: Tensor | null;
  readonly call: Call;
  /** Of a model of pictures and texts. Default null. */
  readonly pair?: Pair | null;
}

/** The loss of each position's label. */
export interface LabelLosses {
  /** −log p(label) in nats, [batch, tokens]; 0 where no label counts. */
  readonly losses: Tensor;
  /** f32 [batch, tokens], 1 where a label counts. */
  readonly counted: Tensor;
}

/**
 * The kind of values that a task's outputs and labels stand for, so that they can be compared: one class of a row; 0 or 1 for each of its labels; numbers; the one right row
 * of several; a class of each token; the first and the last token of an answer.
 */
export type Predicts = 'classes' | 'label sets' | 'numbers' | 'choices' | 'tags' | 'spans';

/** How labels are scored one by one. */
export interface LabelLossOptions {
  /** ε of label smoothing: the loss is (1 − ε)·(−log p(label)) + ε·mean over the vocabulary of −log p. Default 0. */
  readonly smoothing?: number;
  /** Logits are divided by it. Default 1. */
  readonly temperature?: number;
}

/** A use of a model: what is read of its states, and the loss. */
export interface Task<Out = Tensor> {
  readonly name: string;
  /** Its name in adapter files. */
  readonly type: TaskType | null;
  readonly head: HeadName;
  /** Layers in place of the head that transformers' class has; see `stackedHead`. Default none. */
  readonly stack?: HeadStack;
  /** Names of the classes of its head, in the order of its outputs; null for the vocabulary. */
  readonly labels: readonly string[] | null;
  /** The kind of its predictions, by which they are measured. Default: none, there is the loss alone. */
  readonly predicts?: Predicts;
  /** How many rows are the choices of one question. Default: none are. */
  readonly choices?: number;
  /** The label that does not count. Default −100. */
  readonly ignoreIndex?: number;
  /** The towers whose inputs it needs, of those that stand side by side. Default all. */
  readonly towers?: readonly string[];
  /** Inputs of towers that it brings, in place of columns of data: the texts of classes. Default none. */
  readonly gives?: Inputs;
  /** Columns that its loss reads, beside those of the towers. */
  readonly columns: Readonly<Record<string, Column>>;
  /** Names of the numbers that its losses report (`Loss.metrics`), those that are missed most first. Default: none. */
  readonly metrics?: readonly string[];
  outputs(head: Head): Out;
  /** Throws `bad-shape`, `bad-dtype`, `bad-option` where a column is missing or of another shape. */
  loss(head: Head, inputs: Inputs): Loss;
  /** Of tasks that give tokens a probability: the loss of each label by itself. Throws as `loss`. */
  labelLosses?(head: Head, inputs: Inputs, options?: LabelLossOptions): LabelLosses;
}
