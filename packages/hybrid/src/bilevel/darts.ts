import type { Examples } from '@peftjs/core';
import type { Variable } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { adamStep, freshAdam, lengthOf } from './host-adam.ts';
import { joined, type Looked, makeLook, writeAll } from './look.ts';
import type { BilevelOptions } from './options.ts';

/** The values and the structure of a search, and their rates. */
export interface DartsOptions extends BilevelOptions {
  /** Who asks, for errors. */
  readonly who: string;
  /** Trained on the training batches, from first values. */
  readonly values: readonly Variable[];
  readonly first: readonly ArrayLike<number>[];
  /** Trained on the validation batches, from the value that each begins with. */
  readonly structure: readonly Variable[];
  readonly structureFrom: number;
  readonly learningRate: number;
  readonly structureRate: number;
}

/**
 * The structure after a bi-level search. A step trains the structure c on a validation batch and the values w on a training batch: w′ is w after a step of Adam; with v = ∂w′ of the validation loss and ε = 0.01/‖v‖, c takes a step of Adam (β₁ 0.5) by ∂c of that loss at w′ − (∂c of the training
 * loss at w′ + εv − that at w′ − εv)/(2ε); then w takes its step with the new c. The executor's variables hold the last values. Throws `diverged`.
 * Liu, Simonyan & Yang, 2018 (DARTS). https://arxiv.org/abs/1806.09055; in the form of https://github.com/ruz048/AutoLoRA, whose w′ is where both sides of ε lie.
 */
export const darts = async (model: TaskModel, options: DartsOptions): Promise<Float64Array> => {
  const { who, train, validation, steps, executor, onStep, values: variables, structure, first } = options;
  const { learningRate, structureRate, structureFrom } = options;
  const { look, close } = makeLook(who, model, variables, structure, executor);
  try {
    let values = joined(first);
    let chosen: Float64Array = new Float64Array(structure.reduce((n, v) => n + v.shape[0]!, 0)).fill(structureFrom);
    let [valuesState, chosenState] = [freshAdam(values.length), freshAdam(chosen.length)];
    const lookAt = async (at: Float64Array, batch: Examples): Promise<Looked> => {
      await writeAll(executor, variables, at);
      return look(batch);
    };
    for (let step = 0; step < steps; step++) {
      const [seen, unseen] = [train[step % train.length]!, validation[step % validation.length]!];
      await writeAll(executor, structure, chosen);
      const ahead = adamStep(values, (await lookAt(values, seen)).byValues, learningRate, valuesState).values;
      const { loss, byValues, byStructure } = await lookAt(ahead, unseen);
      const epsilon = 0.01 / (lengthOf(byValues) + 1e-15);
      const moved = async (by: number): Promise<Float64Array> =>
        (
          await lookAt(
            ahead.map((v, i) => v + by * byValues[i]!),
            seen,
          )
        ).byStructure;
      const [above, below] = [await moved(epsilon), await moved(-epsilon)];
      const gradient = byStructure.map((g, i) => g - (above[i]! - below[i]!) / (2 * epsilon));
      ({ values: chosen, state: chosenState } = adamStep(chosen, gradient, structureRate, chosenState, 0.5));
      await writeAll(executor, structure, chosen);
      const now = await lookAt(values, seen);
      ({ values, state: valuesState } = adamStep(values, now.byValues, learningRate, valuesState));
      await onStep?.({ step: step + 1, loss });
    }
    return chosen;
  } finally {
    close();
  }
};
