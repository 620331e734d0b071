import {
  constant,
  describe,
  exp,
  logSoftmax,
  mean,
  mul,
  PeftError,
  sameShape,
  select,
  shown,
  stopGradient,
  sub,
  sum,
  type Tensor,
  takeAlongAxis,
} from '@peftjs/tensor';
import { addLosses, type Inputs, type Loss } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { counted, divergence } from './divergence.ts';

/** Options of `distillation`. */
export interface DistillationOptions {
  /**
   * The teacher's outputs for a batch: `(inputs) => larger.outputs(inputs)`, of a model over the same vocabulary; or `columns`, what batches hold of a teacher that ran before: `teacherIds` i32
   * [rows, tokens, k], the k likeliest classes, and `teacherLogits` f32 of the same shape, of which softmax is taken over these k. Default: those of the base without the
   * adapter, so that it is not left too far.
   */
  readonly teacher?: ((inputs: Inputs) => Tensor) | 'columns';
  /** Outputs are divided by it. Default 2. */
  readonly temperature?: number;
  /** The distance of outputs: the divergence of their softmax; or `mse`, the mean over classes of the squared difference of logits, without a temperature. Default `kl`. */
  readonly measure?: 'kl' | 'mse';
  /** λ, the share of the teacher, in [0, 1]. Default 0.5. */
  readonly weight?: number;
}

/** KL of a teacher's k likeliest classes from the student's softmax over all. */
const storedDivergence = (student: Tensor, soft: (logits: Tensor) => Tensor, inputs: Inputs): Loss => {
  const { teacherIds: ids, teacherLogits: logits } = inputs;
  const shape = [...student.shape.slice(0, -1), ids?.shape.at(-1) ?? 0];
  if (
    ids?.dtype !== 'i32' ||
    logits?.dtype !== 'f32' ||
    !sameShape(ids.shape, shape) ||
    !sameShape(logits.shape, shape)
  )
    throw new PeftError(
      'bad-shape',
      `distillation: batches must have teacherIds i32 and teacherLogits f32, both [${student.shape.slice(0, -1)}, k]; got ${[ids, logits].map((t) => (t ? describe(t) : 'none')).join(' and ')}`,
    );
  const p = logSoftmax(soft(logits));
  const q = takeAlongAxis(logSoftmax(student), ids, { axis: -1 });
  const rows = sum(mul(exp(p), sub(p, q)), { axes: [shape.length - 1] });
  const counts = counted('distillation', inputs, student);
  return { sum: sum(mul(counts, rows)), weight: sum(counts) };
};

/** The mean over classes of the squared difference of logits, summed over the rows that have a label. */
const squaredDifference = (teacher: Tensor, student: Tensor, inputs: Inputs): Loss => {
  const apart = sub(student, teacher);
  const rows = mean(mul(apart, apart), { axes: [student.shape.length - 1] });
  const counts = counted('distillation', inputs, student);
  return { sum: sum(select(counts, rows, constant(Float32Array.of(0), []))), weight: sum(counts) };
};

const scaled = ({ sum, weight }: Loss, factor: number): Loss => ({ sum: mul(sum, factor), weight });

/**
 * Distillation: L = (1 − λ)·L_task + λ·T²·KL(softmax(teacher / T) ‖ softmax(student / T)), over what is labelled. No gradient goes to the teacher.
 * Throws `bad-option`. Hinton, Vinyals & Dean, 2015. https://arxiv.org/abs/1503.02531
 * With `measure: 'mse'` it is L = (1 − λ)·L_task + λ·mean (student − teacher)² of logits, the other loss of their section 2.1, which BitDelta takes: Liu et al., 2024. https://arxiv.org/abs/2402.10193
 */
export const distillation = (options: DistillationOptions = {}): Objective => {
  const { teacher, measure = 'kl', temperature = 2, weight = 0.5 } = options;
  const problems = [
    ...(measure === 'kl' || measure === 'mse' ? [] : [`measure must be kl or mse, got ${shown(measure)}`]),
    ...(measure === 'mse' && teacher === 'columns'
      ? ['columns hold some classes alone, which go with measure kl']
      : []),
    ...(measure === 'mse' && options.temperature !== undefined ? ['measure mse has no temperature; leave it out'] : []),
    ...(temperature > 0 && temperature < Infinity ? [] : [`temperature must be a number above 0, got ${temperature}`]),
    ...(weight >= 0 && weight <= 1 ? [] : [`weight must be in [0, 1], got ${weight}`]),
  ];
  if (problems.length > 0) throw new PeftError('bad-option', `distillation: ${problems.join('; ')}`);
  return (views, inputs) => {
    const student = views.train().run(inputs);
    const soft = (logits: Tensor): Tensor => mul(logits, 1 / temperature);
    const taught = (): Tensor =>
      stopGradient(typeof teacher === 'function' ? teacher(inputs) : views.base.outputs(inputs));
    const apart = (): Loss => {
      if (measure === 'mse') return squaredDifference(taught(), student.outputs(), inputs);
      const own = soft(student.outputs());
      if (teacher === 'columns') return storedDivergence(own, soft, inputs);
      return divergence('distillation', soft(taught()), own, inputs);
    };
    return addLosses(
      scaled(student.loss(), 1 - weight),
      apart(),
      measure === 'mse' ? weight : weight * temperature ** 2,
    );
  };
};
