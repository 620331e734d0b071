import { type Adapted, type Examples, requireAdapted } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import {
  add,
  buildProgram,
  checkOptions,
  compile,
  type Executable,
  matmul,
  mul,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type ProgramSpec,
  type Rules,
  type Tensor,
} from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { type ClassChoice, checkEnds, classesOf } from './classes.ts';
import { type BlockTensors, blockTensors, covarianceOf } from './covariance.ts';
import { probit, type Root, sampled } from './link.ts';
import { type LoraLayer, loraLayers } from './lora-layers.ts';
import type { LaplacePosterior } from './posterior.ts';
import { slopesOf } from './slopes.ts';

/** The rows, and how their logits become probabilities. */
export interface LaplacePredictOptions extends OnExecutor {
  /** Batches of what is to be predicted; labels are not read. */
  readonly data: readonly Examples[];
  /** δ of another prior. Default: the posterior's own. */
  readonly priorPrecision?: number;
  /** Samples of the logits whose softmax is averaged. Default: none, the probit's approximation. */
  readonly samples?: number;
  /** Seed of the samples. Default 0. */
  readonly seed?: number;
}

/** The prediction of a row. */
export interface LaplacePrediction {
  /** The logits of the classes with the trained values. */
  readonly mean: readonly number[];
  /** Their covariance, [classes, classes]. */
  readonly covariance: readonly (readonly number[])[];
  /** The probability of each class. */
  readonly probabilities: readonly number[];
}

const rules: Rules<LaplacePredictOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches', Array.isArray)),
  priorPrecision: mustBe.positive,
  samples: mustBe.count,
  seed: mustBe.whole,
};

const who = 'laplacePredict';

/** Every layer with its blocks on the device. Throws `bad-option` where the posterior is another LoRA's. */
const blocksOf = (
  layers: readonly LoraLayer[],
  { blocks }: LaplacePosterior,
  delta: number,
): readonly (readonly [LoraLayer, a: BlockTensors, b: BlockTensors])[] => {
  const fits = ({ path, a, b }: LoraLayer): boolean => {
    const [ofA, ofB] = [blocks.get(`${path}.lora_A.weight`), blocks.get(`${path}.lora_B.weight`)];
    return ofA?.inputs.side === a.shape[1] && ofA?.outputs.side === a.shape[0] && ofB?.outputs.side === b.shape[0];
  };
  const odd = layers.filter((layer) => !fits(layer));
  if (odd.length > 0 || blocks.size !== 2 * layers.length)
    throw new PeftError(
      'bad-option',
      `${who}: the posterior is one of another LoRA (it has ${blocks.size} matrices, this one ${2 * layers.length}${odd.length > 0 ? `; ${odd[0]!.path} differs` : ''}); make it by laplaceLora of this one`,
    );
  return layers.map((layer) => {
    const tensors = (factor: string): BlockTensors => {
      const name = `${layer.path}.lora_${factor}.weight`;
      return blockTensors(`laplace.${name}`, blocks.get(name)!, delta);
    };
    return [layer, tensors('A'), tensors('B')];
  });
};

const programOf = (
  model: TaskModel,
  batch: Examples,
  classes: ClassChoice,
  all: ReturnType<typeof blocksOf>,
): ProgramSpec => {
  const paths = all.map(([{ path }]) => path);
  const { logits, uses } = slopesOf(who, model, paths, inputsOf(batch), classes);
  const covariances = all.flatMap(([{ path, a, b, scale }, ofA, ofB]): Tensor[] => {
    const own = uses.get(path)!;
    const viaA = own.map(({ x, slopes }) => ({ x, slopes: slopes.map((slope) => mul(matmul(slope, b), scale)) }));
    const viaB = own.map(({ x, slopes }) => ({ x: mul(matmul(x, a, { transposeB: true }), scale), slopes }));
    return [covarianceOf(viaA, ofA), covarianceOf(viaB, ofB)];
  });
  return { outputs: { logits, covariance: covariances.reduce((one, other) => add(one, other)) } };
};

/** A root of a covariance by its eigenvectors; values that rounding made negative are none. */
const rootBy = async (): Promise<Root> => {
  const { EigenvalueDecomposition, Matrix } = await import('ml-matrix');
  return (covariance) => {
    const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(
      new Matrix(covariance.map((row) => [...row])),
      { assumeSymmetric: true },
    );
    return eigenvectorMatrix.mulRowVector(realEigenvalues.map((v) => Math.sqrt(Math.max(0, v)))).to2DArray();
  };
};

/**
 * Predicts with the posterior of a LoRA: the model is linear in A and B around their trained values, so a row's logits have the normal distribution N(f(x), J·P⁻¹·Jᵀ), J their Jacobian by A and B, P the
 * posterior's precision. Probabilities are those of the probit's approximation, or means over samples. One backward pass a class; no weight-sized gradient comes to the host. One prediction for each row,
 * in their order. Throws `bad-option` where the posterior is not this LoRA's, `bad-data`, `diverged`. Source: `laplaceLora`'s.
 */
export const laplacePredict = async (
  adapted: Adapted<TaskModel>,
  posterior: LaplacePosterior,
  options: LaplacePredictOptions,
): Promise<LaplacePrediction[]> => {
  checkOptions(who, rules, options);
  requireAdapted(who, adapted);
  const { executor, data, priorPrecision = posterior.priorPrecision, samples, seed = 0 } = options;
  const classes = classesOf(who, adapted.model, posterior.classes ?? undefined);
  for (const batch of data) checkEnds(who, classes, batch);
  const all = blocksOf(loraLayers(who, adapted), posterior, priorPrecision);
  const root = samples === undefined ? null : await rootBy();
  const programs = new Map<string, readonly [Executable, reads: readonly string[]]>();
  const found: LaplacePrediction[] = [];
  try {
    for (const batch of data) {
      const key = JSON.stringify(batch.shapes);
      if (!programs.has(key)) {
        const spec = programOf(adapted.model, batch, classes, all);
        const reads = buildProgram(spec).inputs.map(({ name }) => name);
        programs.set(key, [await compile(spec, { executor }), reads]);
      }
      const [program, reads] = programs.get(key)!;
      const values = await program.run(Object.fromEntries(reads.map((name) => [name, batch.columns[name]!])));
      const [logits, covariances] = [values['logits']!, values['covariance']!];
      if (![logits, covariances].every((t) => t.every(Number.isFinite)))
        throw new PeftError('diverged', `${who}: logits or their covariance are not finite`);
      const k = classes.count;
      for (let row = 0; row < batch.rows; row++) {
        const mean = [...logits.subarray(row * k, (row + 1) * k)];
        const covariance = mean.map((_, i) => [...covariances.subarray((row * k + i) * k, (row * k + i + 1) * k)]);
        const probabilities =
          root && samples !== undefined
            ? sampled(mean, covariance, { samples, seed, row: found.length, root })
            : probit(mean, covariance);
        found.push({ mean, covariance, probabilities });
      }
    }
  } finally {
    for (const [program] of programs.values()) program.close();
    executor.release(all.flatMap(([, ...blocks]) => blocks.flatMap((b) => [b.inputs, b.outputs, b.deviations])));
  }
  return found;
};
