import type { Objective, Patch, Scope } from '@peftjs/core';
import { meanOfTokens } from '@peftjs/prompts';
import { add, broadcastTo, mul, PeftError, relu, reshape, type Tensor, type Variable } from '@peftjs/tensor';
import {
  type Around,
  addTerm,
  type Model,
  type Pass,
  type Slot,
  type States,
  slot,
  type Tower,
} from '@peftjs/transformer';
import { type TaskedMethod, tasksOf } from '../task-column.ts';
import { linear } from './linear.ts';
import { instanceLoss, prototypeLoss } from './retriever-losses.ts';

/** The widths of a retriever, and its losses. */
export interface RetrieverOptions {
  /** Width of the layer between, and e of what is made of a text. */
  readonly hidden: number;
  readonly embedding: number;
  /** The weight of its losses, and the temperature τ of their cosines. */
  readonly contrast: number;
  readonly temperature: number;
}

/** The states of an encoder, its mean over each text [batch, 1, d], that a training pass has made. */
const encoded: Slot<Tensor> = slot('pha.encoded');

const meanOf = (states: States, { name }: Tower): Tensor =>
  meanOfTokens(states.byTower.get(name)!, states.call('', name));

/**
 * The part of PHA that only training needs: a network of two layers makes features of each text, and losses bring those near to the features of other texts of its task and to the task's prototype. It reads the mean of the encoder's states over
 * a text; in a model of one tower that of the base's last states, in a pass of its own, since states of the adapted model tell the task already.
 */
export const retriever = (
  { main }: Model,
  encoder: Tower | null,
  scope: Scope,
  prototypes: Variable,
  tasked: TaskedMethod,
  { hidden, embedding, contrast, temperature }: RetrieverOptions,
): Patch => {
  const { hiddenSize } = encoder ?? main;
  const [first, second] = [linear(scope, 'mlp.0', hiddenSize, hidden), linear(scope, 'mlp.2', hidden, embedding)];
  const leave: Around<'model'> = (inputs, next, { pass }) => {
    const states = next(inputs);
    if (encoder && pass.training) pass.put(encoded, meanOf(states, encoder));
    return states;
  };
  const lossOf = (pass: Pass, read: Tensor): Tensor => {
    const features = second(relu(first(reshape(read, [-1, hiddenSize]))));
    const tasks = broadcastTo(tasksOf({ pass, path: 'mlp' }, tasked), [features.shape[0]!]);
    return add(instanceLoss(features, tasks, temperature), prototypeLoss(features, prototypes, tasks, temperature));
  };
  const objective =
    (inner: Objective): Objective =>
    (views, inputs) => {
      const loss = inner(views, inputs);
      const terms = views.passes.map((pass) =>
        lossOf(pass, pass.get(encoded) ?? meanOf(views.base.states(pass.inputs, pass.options), main)),
      );
      if (terms.length === 0)
        throw new PeftError('bad-program', 'pha: the objective made no training pass; the retriever has no texts');
      const total = terms.reduce((a, b) => add(a, b));
      return addTerm(loss, mul(total, contrast / terms.length));
    };
  return { ...(encoder && { around: { model: new Map([['', leave]]) } }), objective };
};
