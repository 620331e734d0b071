import { grad } from '@peftjs/autograd';
import { buildProgram, type Executor, evaluate, type Tensor, type TypedArray } from '@peftjs/tensor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { trainingLoss } from './gradient-laws.ts';
import { projectedValues } from './projection-laws.ts';
import type { MethodCase } from './row.ts';
import { inputsOf, subjectOf } from './subject.ts';

/** Logits, loss and all gradients of an adapter, its parameters after a step where it projects them, and what they are by definition. */
export interface Expected {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly wanted: Readonly<Record<string, TypedArray>>;
  /** Brings the adapter's values to an executor. */
  bring(executor: Executor): Promise<void>;
  /** Takes them from there again, those that nothing computes with too. */
  take(executor: Executor): void;
}

/** Computed once for all executors. */
export const expectedOf = async (of: MethodCase): Promise<Expected> => {
  const { adapted, executor } = await subjectOf(of);
  const loss = trainingLoss(adapted);
  const params = [...adapted.params];
  const grads = grad(
    loss,
    params.map(([, p]) => p),
  );
  const outputs = {
    logits: adapted.model.outputs(inputsOf(adapted.base)),
    loss,
    ...Object.fromEntries(params.map(([name], i) => [`gradient of ${name}`, grads[i]!])),
    ...projectedValues(adapted),
  };
  return {
    outputs,
    wanted: await evaluate(outputs, { executor }),
    bring: async (other) => {
      for (const v of adapted.state.values()) await other.write(v, await executor.read(v));
    },
    take: (other) => other.release(adapted.state.values()),
  };
};

/** An executor computes what the definition says. */
export const mustAgree = async ({ outputs, wanted, bring, take }: Expected, executor: Executor): Promise<void> => {
  await bring(executor);
  const got = await evaluate(outputs, { executor });
  executor.release(buildProgram({ outputs }).variables);
  take(executor);
  for (const [name, { shape }] of Object.entries(outputs))
    mustBeNear(name, got[name]!, wanted[name]!, { tolerance: tolerances.pass, shape });
};
