import type { Examples } from '@peftjs/core';
import { constant, gather, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { CausalLM, Inputs, TaskModel } from '@peftjs/transformer';

/** The classes that a model decides between: those of its task, or some tokens that may come after the last one. */
export interface ClassChoice {
  /** Ids of the tokens; null for the task's classes. */
  readonly tokens: readonly number[] | null;
  readonly count: number;
}

/** Chooses them. Throws `bad-option`. */
export const classesOf = (who: string, model: TaskModel, tokens: readonly number[] | undefined): ClassChoice => {
  const { task, config } = model;
  if (task.name === 'causalLM') {
    const isGood = (id: number): boolean => Number.isSafeInteger(id) && id >= 0 && id < config.vocabSize;
    if (tokens && tokens.length > 1 && tokens.every(isGood) && new Set(tokens).size === tokens.length)
      return { tokens, count: tokens.length };
    throw new PeftError(
      'bad-option',
      `${who}: of a language model classes are needed, at least two ids of tokens below ${config.vocabSize}, all unlike: those of the answers`,
    );
  }
  if (task.predicts !== 'classes' || !task.labels || task.labels.length < 2 || tokens !== undefined)
    throw new PeftError(
      'bad-option',
      `${who}: takes a model that tells at least two classes apart, or a decoder with the task causalLM and classes; got the task ${task.name}${tokens ? ', with classes' : ''}`,
    );
  return { tokens: null, count: task.labels.length };
};

/** Logits of the classes, [batch, classes]. */
export const classLogits = (model: TaskModel, inputs: Inputs, { tokens, count }: ClassChoice): Tensor => {
  if (!tokens) return model.outputs(inputs);
  const { ids, mask } = inputs;
  const last = (model as CausalLM).logits(ids!, { ...(mask && { mask }), lastOnly: true });
  const byToken = transpose(reshape(last, [last.shape[0]!, last.shape[2]!]), [1, 0]); // [vocabulary, batch]
  return transpose(gather(byToken, constant(Int32Array.from(tokens), [count])), [1, 0]);
};

/** Refuses rows of a language model that end with padding, or are several texts: the class is what comes after the last token. Throws `bad-data`. */
export const checkEnds = (who: string, { tokens }: ClassChoice, { rows, columns }: Examples): void => {
  if (!tokens) return;
  const { mask, documents } = columns;
  if (documents)
    throw new PeftError('bad-data', `${who}: takes a text in each row, not several (the column documents)`);
  if (!mask) return;
  const width = mask.length / rows;
  const odd = Array.from({ length: rows }, (_, i) => i).find((i) => mask[(i + 1) * width - 1] === 0);
  if (odd !== undefined)
    throw new PeftError(
      'bad-data',
      `${who}: row ${odd} of a batch ends with padding, and the class is what comes after the last token; pad on the left`,
    );
};

/** The number of each row's class, as its label says. Throws `bad-data` for a row that has none. */
export const wantedClasses = (who: string, { tokens, count }: ClassChoice, batch: Examples): Int32Array => {
  const { rows, columns } = batch;
  const labels = columns['labels'];
  if (!labels)
    throw new PeftError(
      'bad-data',
      `${who}: a batch has no column labels, by which the evidence is measured; it has ${Object.keys(columns).join(', ')}`,
    );
  const width = labels.length / rows;
  return Int32Array.from({ length: rows }, (_, i) => {
    const label = labels[(i + 1) * width - 1]!;
    const wanted = tokens ? tokens.indexOf(label) : label;
    if (wanted >= 0 && wanted < count) return wanted;
    throw new PeftError(
      'bad-data',
      `${who}: row ${i} of a batch has the label ${label}; each row needs one of the ${count} classes${tokens ? `, the ids ${tokens.slice(0, 8).join(', ')}${count > 8 ? ', …' : ''} in its last place` : ''}`,
    );
  });
};
