import {
  constant,
  exp,
  gather,
  mul,
  mustBe,
  neg,
  optionProblems,
  PeftError,
  pow,
  type Rules,
  select,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Loss } from '../loss.ts';
import { countedLabels, crossEntropies, smoothedCrossEntropies } from './head-loss.ts';

/** How classes are weighed against each other, where examples have one of several. */
export interface ClassLossOptions {
  /** A weight of each class, in the order of the labels: losses are multiplied by that of the right class and divided by the sum of these weights, as torch's `CrossEntropyLoss` has it. */
  readonly classWeights?: readonly number[];
  /**
   * γ of the focal loss, (1 − p)^γ·(−log p), which turns to what is still wrong; then divided by the number of examples, whatever their weights. Default 0: cross-entropy.
   * Lin et al., 2017. https://arxiv.org/abs/1708.02002
   */
  readonly focus?: number;
  /** ε: (1 − ε)·(−log p) + ε·mean over classes of −log p, as transformers' `LabelSmoother` has it; not with the others. Default 0. Szegedy et al., 2015. https://arxiv.org/abs/1512.00567 */
  readonly labelSmoothing?: number;
}

const isWeights = (value: unknown): boolean =>
  Array.isArray(value) && value.every((w) => Number.isFinite(w) && w >= 0) && value.some((w) => w > 0);

const rules: Rules<ClassLossOptions> = {
  classWeights: mustBe.such('a list of numbers of at least 0, not all 0', isWeights),
  focus: mustBe.notNegative,
  labelSmoothing: mustBe.rate,
};

/** Whether there is more to it than cross-entropy. Throws `bad-option`. */
export const weighsClasses = (who: string, classes: number, options: ClassLossOptions): boolean => {
  const { classWeights, focus = 0, labelSmoothing = 0 } = options;
  const problems = optionProblems(rules, options);
  if (Array.isArray(classWeights) && classWeights.length !== classes)
    problems.push(`classWeights has ${classWeights.length} weights of ${classes} classes; give one for each`);
  if (labelSmoothing !== 0 && (focus !== 0 || classWeights !== undefined))
    problems.push('labelSmoothing does not go with classWeights or focus; leave one out');
  if (problems.length > 0) throw new PeftError('bad-option', `${who}: ${problems.join('; ')}`);
  return classWeights !== undefined || focus !== 0 || labelSmoothing !== 0;
};

/** The loss of logits [rows, classes] with labels i32 [rows], of those that have one. */
export const classLoss = (
  logits: Tensor,
  labels: Tensor,
  ignoreIndex: number,
  { classWeights, focus = 0, labelSmoothing = 0 }: ClassLossOptions,
): Loss => {
  const classes = logits.shape[1]!;
  const counted = countedLabels(labels, classes, ignoreIndex);
  const safe = select(counted, labels, constant(Int32Array.of(0), []));
  const count = (values: Tensor): Tensor => select(counted, values, constant(Float32Array.of(0), []));
  if (labelSmoothing !== 0)
    return { sum: sum(count(smoothedCrossEntropies(logits, safe, labelSmoothing))), weight: sum(counted) };
  const plain = crossEntropies(logits, safe);
  const focal = focus === 0 ? plain : mul(plain, pow(sub(1, exp(neg(plain))), focus));
  if (!classWeights) return { sum: sum(count(focal)), weight: sum(counted) };
  const weights = gather(constant(Float32Array.from(classWeights), [classes]), safe);
  return { sum: sum(count(mul(focal, weights))), weight: sum(focus === 0 ? count(weights) : counted) };
};
