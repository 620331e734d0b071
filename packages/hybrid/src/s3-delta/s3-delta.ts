import { attach, combine, type Examples, type Method } from '@peftjs/core';
import { checkOptions, mustBe, PeftError, type Rules, randomSource, sizeOf } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { adamStep, clipped, freshAdam, lengthOf } from '../bilevel/host-adam.ts';
import { joined, type Looked, makeLook, writeAll } from '../bilevel/look.ts';
import { type BilevelOptions, bilevelRules } from '../bilevel/options.ts';
import { type CandidateParts, s3DeltaCandidates } from './candidates.ts';
import { alphaGradient, drawnGates, type Each, fitting, probabilities } from './gates.ts';

import { weighed } from './weighed.ts';

/** Options of `s3Delta`. */
export interface S3DeltaOptions extends BilevelOptions {
  /** The most values that the structure may train. */
  readonly most: number;
  /** Parts to choose from. Default `s3DeltaCandidates(model)`. */
  readonly candidates?: CandidateParts;
  /** Learning rate of the candidates, which falls to 0. Default 3e-4. */
  readonly learningRate?: number;
  /** Learning rate of the structure, which falls to 0. Default 0.1. */
  readonly structureRate?: number;
  /** Temperature β of the probabilities. Default 1. */
  readonly beta?: number;
}

/** A candidate after the search. */
export interface RankedCandidate {
  readonly name: string;
  /** Values that it trains. */
  readonly parameters: number;
  readonly probability: number;
  /** Whether it is part of the structure. */
  readonly chosen: boolean;
}

/** A structure that was found. */
export interface S3DeltaResult {
  /** The structure, to be attached and trained anew. */
  readonly method: Method;
  /** Values that it trains. */
  readonly parameters: number;
  /** All candidates, the likeliest first. */
  readonly candidates: readonly RankedCandidate[];
}

const rules: Rules<S3DeltaOptions> = {
  ...bilevelRules,
  most: mustBe.given(mustBe.count),
  candidates: mustBe.object,
  learningRate: mustBe.positive,
  structureRate: mustBe.positive,
  beta: mustBe.positive,
};

/**
 * S3Delta: the structure of parameter-efficient fine-tuning under a budget, found by gradients. Every candidate is there at once, its change multiplied by a gate, z = σ(logit u + logit p) with u uniform, and p = σ((α − ζ)/β) where ζ
 * is chosen in every step so that Σ p·size is the budget. A step trains α on a validation batch, by the gradient of its loss after a step of the candidates (ε = 0.01/‖∂w‖ in its second term), then the candidates on a training batch; gradients are clipped to a length of 2. In the end the
 * candidates of the highest p that fit the budget are the structure, without gates: attach it and train it. It is an ordinary combination, whose file `load` reads by the methods in it. Candidates are looked at without dropout; the executor forgets what they learnt.
 * Throws `bad-option`, also for a budget in which no candidate fits or all do; `diverged`.
 * Hu et al., 2022. https://arxiv.org/abs/2206.07382. As the authors' code has it, https://github.com/thunlp/S3Delta, with its defaults: `global_strategy` shift, r = 1, l = 0.
 */
export const s3Delta = async (model: TaskModel, options: S3DeltaOptions): Promise<S3DeltaResult> => {
  checkOptions('s3Delta', rules, options);
  const { most, train, validation, steps, executor, beta = 1, seed = 0 } = options;
  const { candidates = s3DeltaCandidates(model), learningRate = 3e-4, structureRate = 0.1, onStep } = options;
  const parts = Object.entries(candidates).map(([name, part]) => ({ ...part, name }));
  if (parts.length < 2)
    throw new PeftError('bad-option', `s3Delta: candidates: there is ${parts.length} to choose from; give two or more`);
  const { params, model: supernet } = attach(
    model,
    [combine(parts.map((part) => ({ ...part, method: weighed(part.method) })))],
    { seed },
  );
  const gateVariables = parts.map(({ name }) => params.get(`${name}.gate`)!);
  const own = [...params].filter(([, v]) => !gateVariables.includes(v));
  const sizes = Float64Array.from(parts, ({ name }) =>
    own.reduce((n, [key, { shape }]) => (key.startsWith(`${name}.`) ? n + sizeOf(shape) : n), 0),
  );
  const all = sizes.reduce((a, b) => a + b, 0);
  if (most >= all || most < Math.min(...sizes))
    throw new PeftError(
      'bad-option',
      `s3Delta: most is ${most}; the candidates train ${all} values together and the smallest ${Math.min(...sizes)}, so give a number between`,
    );
  const variables = own.map(([, v]) => v);
  const { look, close } = makeLook('s3Delta', supernet, variables, gateVariables, executor);
  let values = joined(await Promise.all(variables.map((v) => executor.read(v))));
  let alphas: Each = new Float64Array(parts.length);
  let [valuesState, alphasState] = [freshAdam(values.length), freshAdam(parts.length)];
  const random = randomSource(seed, 's3Delta');
  try {
    for (let step = 0; step < steps; step++) {
      const rest = 1 - step / steps;
      const [rate, alphaRate] = [learningRate * rest, structureRate * rest];
      const [seen, unseen] = [train[step % train.length]!, validation[step % validation.length]!];
      const openGates = async (): Promise<{ p: Each; gates: Each }> => {
        const p = probabilities({ alphas, sizes, most, beta });
        const gates = drawnGates(p, p.map(random));
        await writeAll(executor, gateVariables, gates);
        return { p, gates };
      };
      const lookAt = async (at: Float64Array, batch: Examples): Promise<Looked> => {
        await writeAll(executor, variables, at);
        return look(batch);
      };
      const { p, gates } = await openGates();
      const byAlpha = ({ byStructure }: Looked): Each => alphaGradient(byStructure, gates, p, beta);
      const first = await lookAt(values, seen);
      const ahead = await lookAt(adamStep(values, first.byValues, rate, valuesState).values, unseen);
      const epsilon = 0.01 / (lengthOf(ahead.byValues) + 1e-6);
      const moved = (by: number): Float64Array => values.map((v, i) => v + by * ahead.byValues[i]!);
      const above = byAlpha(await lookAt(moved(epsilon), seen));
      const below = byAlpha(await lookAt(moved(-epsilon), seen));
      const gradient = byAlpha(ahead).map((g, i) => g - (rate * (above[i]! - below[i]!)) / (2 * epsilon));
      ({ values: alphas, state: alphasState } = adamStep(alphas, clipped(gradient, 2), alphaRate, alphasState));
      await openGates();
      const { byValues } = await lookAt(values, seen);
      ({ values, state: valuesState } = adamStep(values, clipped(byValues, 2), rate, valuesState));
      await onStep?.({ step: step + 1, loss: ahead.loss });
    }
  } finally {
    close();
  }
  const p = probabilities({ alphas, sizes, most, beta });
  const chosen = new Set(fitting(p, sizes, most));
  const ranked = parts.map(({ name }, i) => ({
    name,
    parameters: sizes[i]!,
    probability: p[i]!,
    chosen: chosen.has(i),
  }));
  return {
    method: combine(parts.filter((_, i) => chosen.has(i))),
    parameters: ranked.reduce((n, { parameters, chosen: is }) => n + (is ? parameters : 0), 0),
    candidates: ranked.toSorted((a, b) => b.probability - a.probability),
  };
};
