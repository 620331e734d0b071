import { grad } from '@peftjs/autograd';
import {
  add,
  checkOptions,
  constant,
  div,
  less,
  maximum,
  mul,
  mustBe,
  type Rules,
  select,
  stopGradient,
  sub,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import { addTerm, type Inputs, meanOf } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { divergence } from './divergence.ts';

/** Options of `proGrad`. */
export interface ProGradOptions {
  /** The tensors that are trained: `params` of what `attach` gives. */
  readonly params: ReadonlyMap<string, Variable>;
  /** Outputs that stand for general knowledge: `(inputs) => Tensor`. Default: those of the base without the adapter. */
  readonly teacher?: (inputs: Inputs) => Tensor;
  /** Outputs are divided by it. Default 1. */
  readonly temperature?: number;
  /** λ, the share of the conflict that is taken out. Default 1: all of it. */
  readonly weight?: number;
}

const rules: Rules<ProGradOptions> = {
  params: mustBe.given(
    mustBe.such('the trained tensors by name, params of what attach gives', (v) => v instanceof Map && v.size > 0),
  ),
  teacher: mustBe.fn,
  temperature: mustBe.positive,
  weight: mustBe.notNegative,
};

/** The squared length of a gradient, below which its direction is noise. */
const least = 1e-30;

/** g, or, where it goes against the other gradient h, g − λ·(g·h / ‖h‖²)·h. */
const aligned = (g: Tensor, h: Tensor, weight: number): Tensor => {
  const along = sum(mul(g, h));
  const share = div(along, maximum(sum(mul(h, h)), least));
  return sub(g, mul(mul(select(less(along, 0), share, constant(Float32Array.of(0), [])), weight), h));
};

/**
 * ProGrad: the gradient g of the task's loss, without what goes against general knowledge. That is h, the gradient of T²·KL(softmax(teacher / T) ‖ softmax(student / T)); of each parameter tensor by itself, where
 * g·h < 0, the gradient is g − λ·(g·h / ‖h‖²)·h, else g. The loss that is reported is the task's, and so are the gradients of all that is no parameter here. With `coOp` the base says what the texts say that the context takes
 * the place of, so give it `words`, or a teacher. In steps of several batches each batch's gradient is projected by itself. The authors' KL lacks the teacher's entropy, which has no gradient. Throws `bad-option`.
 * Zhu and others, 2022. https://arxiv.org/abs/2205.14865, https://github.com/BeierZhu/Prompt-align
 */
export const proGrad = (options: ProGradOptions): Objective => {
  checkOptions('proGrad', rules, options);
  const { params, teacher, temperature = 1, weight = 1 } = options;
  const all = [...params.values()];
  return (views, inputs) => {
    const student = views.train().run(inputs);
    const own = student.loss();
    const soft = (logits: Tensor): Tensor => mul(logits, 1 / temperature);
    const taught = stopGradient(teacher ? teacher(inputs) : views.base.outputs(inputs));
    const apart = mul(meanOf(divergence('proGrad', soft(taught), soft(student.outputs()), inputs)), temperature ** 2);
    const [mean, general] = [grad(meanOf(own), all), grad(apart, all)];
    const moved = all.map((p, i) => sum(mul(p, stopGradient(sub(aligned(mean[i]!, general[i]!, weight), mean[i]!)))));
    const change = moved.reduce((a, b) => add(a, b));
    // Its value is 0, its gradient what the projection changes.
    return addTerm(own, sub(change, stopGradient(change)));
  };
};
