import { grad } from '@peftjs/autograd';
import type { ByParam, GradientTransform, TrainedStep, Updates } from '@peftjs/core';
import {
  add,
  broadcastTo,
  buildProgram,
  constant,
  div,
  type Executable,
  type Executor,
  input,
  PeftError,
  type ProgramSpec,
  select,
  sizeOf,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { meanOf } from '@peftjs/transformer';
import { optimizerStep, steppedParams } from './optimizer-step.ts';
import type { Batch } from './pack.ts';
import type { Trainable } from './trainable.ts';

/** The report of one optimiser step. */
export interface StepResult {
  /** Mean loss over the step's micro-batches, in nats per token, penalties included. */
  readonly loss: number;
  /** Global L2 norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** Whether both are finite. If not, the step has changed nothing. */
  readonly finite: boolean;
}

/** A compiled training step. */
export interface TrainStep {
  /** Takes one optimiser step. It reads nothing back, so the host is free to go on to the next while the device works. */
  run(step: number, learningRate: number, batches: readonly Batch[]): Promise<void>;
  /** The reports of the steps since the last call, oldest first; waits for them. */
  results(): Promise<StepResult[]>;
  /** The optimiser's state in this run, by parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
  /** Frees the program and that state. */
  close(): void;
}

/** How a step is shaped. */
export interface TrainStepOptions {
  readonly executor: Executor;
  readonly optimizer: GradientTransform;
  readonly batchSize: number;
  readonly context: number;
  /** Micro-batches whose gradients are averaged before the weights move. */
  readonly accumulate: number;
  /** Seed of dropout. */
  readonly seed: number;
}

const compileNamed = async (spec: ProgramSpec, executor: Executor): Promise<Executable> => {
  const program = buildProgram(spec);
  const executable = await executor.compile(program);
  const names = new Set(program.inputs.map((n) => n.name));
  // Without dropout the seed is no input of the program, and a feed that is no input is refused.
  const run: Executable['run'] = (feeds = {}, options) =>
    executable.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name))), options);
  return { ...executable, run, close: () => executable.close() };
};

/** The context for the statistics of a step. */
const trainedStep = (gradients: ByParam, updated: ByParam): TrainedStep => {
  const of = <T>(found: T | undefined, param: Variable): T => {
    if (found !== undefined) return found;
    throw new PeftError('bad-program', `train: ${param.node.name} is not trained, so a step has no gradient of it`);
  };
  return { gradient: (p) => of(gradients.get(p), p), updated: (p) => of(updated.get(p), p) };
};

/** All updates; where a statistic writes what the optimiser steps, its value counts. Of a step that is not finite there are none. */
const combined = (updates: Updates, statistics: Updates, finite: Tensor): Updates => [
  ...new Map([...updates, ...statistics.map(([v, now]) => [v, select(finite, now, v)] as const)]),
];

/**
 * Compiles a training step: forward, backward and optimiser in one program. With accumulation a second program adds the gradients of all
 * micro-batches but the last into buffers, and their losses.
 */
export const makeTrainStep = async (target: Trainable, options: TrainStepOptions): Promise<TrainStep> => {
  const { executor, optimizer, batchSize, context, accumulate, seed } = options;
  const ids = input('ids', [batchSize, context], 'i32');
  const labels = input('labels', [batchSize, context], 'i32');
  const own = meanOf(target.loss({ ids, labels }, input('seed', [], 'u32')));
  const params = steppedParams(target);
  // What a micro-batch gives: its loss, then its gradients.
  const parts = [own, ...grad(own, params)];
  const names = ['loss', ...params.map((p) => p.node.name)];
  const sums: Variable[] =
    accumulate > 1
      ? parts.map((t, i) => variable(`${names[i]}.sum`, t.shape, () => new Float32Array(sizeOf(t.shape))))
      : [];
  const zero = (t: Tensor): Tensor => broadcastTo(constant(Float32Array.of(0), []), t.shape);
  const [loss, ...means] = sums.length > 0 ? parts.map((t, i) => div(add(t, sums[i]!), accumulate)) : parts;
  const gradients: ByParam = new Map(params.map((p, i) => [p, means[i]!]));
  const { next, updates, gradNorm, finite, state, feeds: numbers } = optimizerStep(optimizer, gradients, loss!, target);
  const statistics = target.statistics(trainedStep(gradients, next));
  const apply = await compileNamed(
    {
      outputs: { loss: loss!, gradNorm, finite },
      updates: [...combined(updates, statistics, finite), ...sums.map((s) => [s, zero(s)] as const)],
    },
    executor,
  );
  const collect =
    sums.length > 0
      ? await compileNamed({ updates: sums.map((s, i) => [s, add(s, parts[i]!)] as const) }, executor)
      : null;
  return {
    state,
    run: async (step, learningRate, batches) => {
      const feeds = (i: number): Record<string, TypedArray> => ({
        ids: batches[i]!.ids,
        labels: batches[i]!.labels,
        seed: Uint32Array.of(Math.imul(seed + 1, 0x9e3779b9) + step * accumulate + i),
      });
      for (let i = 0; i + 1 < batches.length; i++) await collect!.run(feeds(i), { read: [] });
      await apply.run(
        { ...feeds(batches.length - 1), ...numbers(step, learningRate) },
        { keep: ['loss', 'gradNorm', 'finite'] },
      );
    },
    results: async () =>
      (await apply.kept()).map((kept) => ({
        loss: kept['loss']![0]!,
        gradNorm: kept['gradNorm']![0]!,
        finite: kept['finite']![0] === 1,
      })),
    close: () => {
      apply.close();
      collect?.close();
      executor.release([...sums, ...[...state.values()].flat()]);
    },
  };
};
