import type { Tensor, Variable } from '@peftjs/tensor';
import { type CausalLM, parameters } from '@peftjs/transformer';

/** What the trainer trains: a model with an adapter (`attach` gives one), or all of a model. */
export interface Trainable {
  /** The view to evaluate. */
  readonly model: CausalLM;
  /** The view to train, with dropout from `seed`. */
  training(seed: Tensor): CausalLM;
  readonly params: ReadonlyMap<string, Variable>;
  /** Added to the loss. */
  penalty(): Tensor | null;
}

/** All weights of a model, for pretraining and full fine-tuning. They change in place on the executor that trains. */
export const allWeights = (model: CausalLM): Trainable => ({
  model,
  training: () => model,
  params: parameters(model),
  penalty: () => null,
});
