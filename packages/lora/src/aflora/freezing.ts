import type { Decision, Projection, Scope, TrainedStep } from '@peftjs/core';
import { zeros } from '@peftjs/core';
import { abs, add, less, mean, mul, reshape, select, sub, type Tensor, type Variable } from '@peftjs/tensor';

/** When and how matrices are frozen. */
export interface FreezingOptions {
  /** Steps of the training, and how many of them come before the first is frozen and after the last. */
  readonly steps: number;
  readonly warmup: number;
  readonly final: number;
  /** Steps between two decisions. */
  readonly interval: number;
  /** Decay of the averages of the gradient's magnitude, and of its uncertainty. */
  readonly beta1: number;
  readonly beta2: number;
}

/** A matrix that may be frozen. */
export interface Freezable {
  readonly matrix: Variable;
  /** [1]: 1 once it is frozen. */
  readonly frozen: Variable;
  /** [1]: how much it still wants to be trained. */
  readonly score: Variable;
  /** Averages, of the matrix's shape. */
  readonly magnitude: Variable;
  readonly uncertainty: Variable;
}

/** All of them, there once a view is made. */
export type Freezables = ReadonlyMap<Variable, Freezable>;

/** The variables that training keeps of a matrix. */
export const freezable = (own: Scope, name: string, matrix: Variable): Freezable => ({
  matrix,
  frozen: own.running(`${name}.frozen`, [1], zeros),
  score: own.running(`${name}.score`, [1], zeros),
  magnitude: own.running(`${name}.magnitude`, matrix.shape, zeros),
  uncertainty: own.running(`${name}.uncertainty`, matrix.shape, zeros),
});

/** The share of the matrices that is frozen after a step, counted from 1: none until `warmup`, all from `steps − final`, a cubic between. */
export const frozenShare = ({ steps, warmup, final }: FreezingOptions, step: number): number =>
  1 - (1 - Math.min(1, Math.max(0, (step - warmup) / (steps - warmup - final)))) ** 3;

const average = (old: Tensor, now: Tensor, beta: number): Tensor => add(mul(old, beta), mul(now, 1 - beta));

/** New averages of a step: I ← β₁I + (1−β₁)|g|, U ← β₂U + (1−β₂)·||g| − I|, and the score, the mean of I∘U. */
export const gatherScores = (
  all: Freezables,
  { gradient }: TrainedStep,
  { beta1, beta2 }: FreezingOptions,
): readonly (readonly [Variable, Tensor])[] =>
  [...all.values()].flatMap(({ matrix, score, magnitude, uncertainty }) => {
    const now = abs(gradient(matrix));
    const smooth = average(magnitude, now, beta1);
    const spread = average(uncertainty, abs(sub(now, smooth)), beta2);
    return [
      [magnitude, smooth],
      [uncertainty, spread],
      [score, reshape(mean(mul(smooth, spread)), [1])],
    ];
  });

/** Frozen matrices stay as they were. */
export const holdFrozen =
  (all: Freezables): Projection =>
  (updated) =>
    [...all.values()].map(({ matrix, frozen }) => [matrix, select(less(frozen, 0.5), updated(matrix), matrix)]);

/** Freezes those with the least scores, until the share of the step is frozen; none is trained again. */
export const freeze = (all: Freezables, options: FreezingOptions): Decision => ({
  due: (step) =>
    step > options.warmup && (step % options.interval === 0 || step === Math.max(1, options.steps - options.final)),
  run: async (step, between) => {
    const read = async (v: Variable): Promise<number> => (await between.read(v))[0]!;
    const states = await Promise.all(
      [...all.values()].map(async (one) => ({
        one,
        isFrozen: (await read(one.frozen)) > 0.5,
        score: await read(one.score),
      })),
    );
    const trained = states.filter(({ isFrozen }) => !isFrozen).toSorted((a, b) => a.score - b.score);
    const more = Math.floor(all.size * frozenShare(options, step)) - (all.size - trained.length);
    for (const { one } of trained.slice(0, Math.max(0, more))) await between.write(one.frozen, Float32Array.of(1));
  },
});
