import { mul, PeftError, stopGradient, type Tensor } from '@peftjs/tensor';
import { addLosses, type Inputs, type Loss } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { divergence } from './divergence.ts';

/** Options of `distillation`. */
export interface DistillationOptions {
  /** The teacher's outputs for a batch. Default: those of the base without the adapter, so that it is not left too far. */
  readonly teacher?: (inputs: Inputs) => Tensor;
  /** Outputs are divided by it. Default 2. */
  readonly temperature?: number;
  /** λ, the share of the teacher, in [0, 1]. Default 0.5. */
  readonly weight?: number;
}

const scaled = ({ sum, weight }: Loss, factor: number): Loss => ({ sum: mul(sum, factor), weight });

/**
 * Distillation: L = (1 − λ)·L_task + λ·T²·KL(softmax(teacher / T) ‖ softmax(student / T)), over what is labelled. No gradient goes to the teacher.
 * Throws `bad-option`. Hinton, Vinyals & Dean, 2015. https://arxiv.org/abs/1503.02531
 */
export const distillation = ({ teacher, temperature = 2, weight = 0.5 }: DistillationOptions = {}): Objective => {
  const problems = [
    ...(temperature > 0 && temperature < Infinity ? [] : [`temperature must be a number above 0, got ${temperature}`]),
    ...(weight >= 0 && weight <= 1 ? [] : [`weight must be in [0, 1], got ${weight}`]),
  ];
  if (problems.length > 0) throw new PeftError('bad-option', `distillation: ${problems.join('; ')}`);
  return (views, inputs) => {
    const student = views.train().run(inputs);
    const soft = (logits: Tensor): Tensor => mul(logits, 1 / temperature);
    const wanted = stopGradient(teacher ? teacher(inputs) : views.base.outputs(inputs));
    const apart = divergence('distillation', soft(wanted), soft(student.outputs()), inputs);
    return addLosses(scaled(student.loss(), 1 - weight), apart, weight * temperature ** 2);
  };
};
