import { type Adapted, type Examples, requireAdapted } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { checkEnds, classesOf } from './classes.ts';
import { bestPriorPrecision, evidenceAt } from './evidence.ts';
import { eachFisher } from './fisher.ts';
import { loraLayers } from './lora-layers.ts';
import { effectiveAt, type LaplaceBlock, type LaplacePosterior } from './posterior.ts';

/** The examples, and how the posterior of a LoRA is made of them. */
export interface LaplaceOptions extends OnExecutor {
  /** Batches of the examples that the LoRA was trained on, each with its label. */
  readonly data: readonly Examples[];
  /** Of a language model: ids of the tokens that are answers. A row's label is one of them, in its last place. */
  readonly classes?: readonly number[];
  /** δ of the prior N(0, I/δ). Default: that of the largest marginal likelihood. */
  readonly priorPrecision?: number;
  /** How many leading eigenpairs are kept of the covariance of each layer's inputs and of its outputs' gradients. Default: all of sides up to 256, 10 of longer ones. */
  readonly kept?: number;
}

const isIds = (v: unknown): boolean => Array.isArray(v);

const rules: Rules<LaplaceOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches, one at least', (v) => Array.isArray(v) && v.length > 0)),
  classes: mustBe.such('a list of ids', isIds),
  priorPrecision: mustBe.positive,
  kept: mustBe.count,
};

const squaredNormOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return sum;
};

/**
 * Laplace-LoRA: the posterior of a trained LoRA's A and B, a normal distribution around their values by the curvature of the loss there, so that `laplacePredict` can tell how sure a prediction is. The Hessian of
 * each matrix is its Fisher information by Kronecker factors, N·E[xxᵀ] ⊗ E[ggᵀ] over all rows of all examples, x its inputs, g the gradients of log p(y) by its outputs, y drawn by the model itself (the expectation is
 * exact: one backward pass a class). The prior's δ is that of the largest marginal likelihood. A task's own head stays as it is trained.
 * Covariances are summed on the executor, 4·(in² + out²) bytes a layer and at most 1 GiB at once, and decomposed on the host in f64, of a side longer than 256 only the leading part. No parameter changes.
 * Throws `bad-option` for another method than LoRA of linear layers and another task than telling classes apart, `bad-data` for rows without a label, `diverged`.
 * Yang et al., 2023. https://arxiv.org/abs/2308.13111, whose authors' code (https://github.com/adamxyang/laplace-lora) divides the inputs' covariance by examples; here it is by rows, so that a text of many tokens
 * does not count as many times (Eschenhagen et al., 2023, "expand". https://arxiv.org/abs/2311.00636). Low-rank factors as in https://github.com/MaximeRobeyns/bayesian_lora, but of the whole sum.
 */
export const laplaceLora = async (adapted: Adapted<TaskModel>, options: LaplaceOptions): Promise<LaplacePosterior> => {
  const who = 'laplaceLora';
  checkOptions(who, rules, options);
  requireAdapted(who, adapted);
  const { executor, data, kept, priorPrecision: given } = options;
  const layers = loraLayers(who, adapted);
  const classes = classesOf(who, adapted.model, options.classes);
  for (const batch of data) checkEnds(who, classes, batch);
  const { keptOf, spectrumOf } = await import('./spectrum.ts'); // with ml-matrix, which nothing else needs
  const blocks = new Map<string, LaplaceBlock>();
  let [logLikelihood, squaredNorm] = [0, 0];
  await eachFisher(who, adapted.model, layers, classes, { executor, data }, ({ path, a, b, rank }, sums) => {
    const [inDim, outDim] = [a.shape[1]!, b.shape[0]!];
    blocks.set(`${path}.lora_A.weight`, {
      inputs: spectrumOf(sums.inputs, inDim, keptOf(inDim, kept), sums.count),
      outputs: spectrumOf(sums.lowGradients, rank, rank),
    });
    blocks.set(`${path}.lora_B.weight`, {
      inputs: spectrumOf(sums.low, rank, rank, sums.count),
      outputs: spectrumOf(sums.gradients, outDim, keptOf(outDim, kept)),
    });
    logLikelihood = sums.logLikelihood; // the same at every layer
  });
  for (const { a, b } of layers) for (const v of [a, b]) squaredNorm += squaredNormOf(await executor.read(v));
  const curvature = { blocks, logLikelihood, squaredNorm };
  const priorPrecision = given ?? bestPriorPrecision(who, curvature);
  return {
    ...curvature,
    priorPrecision,
    logEvidence: evidenceAt(curvature, priorPrecision),
    effectiveParameters: effectiveAt(curvature, priorPrecision),
    classes: classes.tokens,
  };
};
