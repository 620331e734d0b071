import { grad } from '@peftjs/autograd';
import type { Gradients, GradientTransform, LossOptions, Objective } from '@peftjs/core';
import { lossRules, makeFinding, makeTransformRun } from '@peftjs/core';
import type { Batch } from '@peftjs/data';
import {
  buildProgram,
  checkOptions,
  constant,
  type Executable,
  input,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type ProgramSpec,
  type Rules,
  type Tensor,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import { type Inputs, meanOf } from '@peftjs/transformer';
import { averaged, averagesOf } from './averages.ts';
import { checkBatch } from './check-data.ts';
import { makeGathered } from './gathered.ts';
import { metricNames, metricsOf } from './metrics-of.ts';
import { type OptimizerStep, optimizerRule, optimizerStep, steppedParams } from './optimizer-step.ts';
import { type BatchSpec, compileNamed, makePrograms, specOf } from './programs.ts';
import { makeRest } from './rest.ts';
import { metricOutput, stepOutputs, stepProgram } from './step-program.ts';
import type { Trainable } from './trainable.ts';

/** The report of one optimiser step. */
export interface StepResult {
  /** Mean loss over all that counts in the step's batches (tokens, rows), in nats, the methods' terms included. */
  readonly loss: number;
  /** Global L2 norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** Whether both are finite. If not, the step has changed nothing. */
  readonly finite: boolean;
  /** Means of what the objective reports beside the loss, by name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** A training step, compiled for the shapes of the batches that come. */
export interface TrainStep {
  /** Takes in a batch. `draw` seeds its dropout: another number for every batch of a run. */
  collect(batch: Batch, draw: number): Promise<void>;
  /**
   * Gradients, loss and weight of what was collected, as sums in f32: processes that train together add theirs up here before `apply`. Most of it lies in one
   * flat variable. None where a step is one batch, which then is one program.
   */
  readonly gathered: readonly Variable[];
  /** Steps by what was collected. It reads nothing back, so the host is free to go on to the next while the device works. */
  apply(step: number, learningRate: number): Promise<void>;
  /** Collects batches and applies them: the `step`-th one, from 0. */
  run(step: number, learningRate: number, batches: readonly Batch[]): Promise<void>;
  /** The reports of the steps since the last call, oldest first; waits for them. */
  results(): Promise<StepResult[]>;
  /**
   * Makes the parameters what they are measured and kept by, where that is another thing than what is trained: their moving average, or what the optimiser ends with. Gives the way back.
   */
  rest(): Promise<() => Promise<void>>;
  /** Variables that its programs read so far: the base's too. */
  readonly reads: ReadonlySet<Variable>;
  /** The optimiser's variables in this run, by parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
  /** Frees the programs and that state. */
  close(): void;
}

/** How a step is shaped. */
export interface TrainStepOptions extends OnExecutor {
  readonly optimizer: GradientTransform;
  /** The loss. Default: the task's own. */
  readonly objective?: Objective<never>;
  /** Whether blocks are recomputed in the backward pass: see `TrainOptions`. Default false. */
  readonly recompute?: LossOptions['recompute'];
  /** Decay of a moving average of the parameters, which is then kept in `state`. Default: there is none. */
  readonly average?: number;
  /** Whether a step gathers several batches, or those of several processes. Default: it is one batch. */
  readonly gathers?: boolean;
  /** Seed of dropout. Default 0. */
  readonly seed?: number;
  /** Columns of the batches that will come, where they are known: their program is then compiled at once. */
  readonly inputs?: BatchSpec;
}

const rules: Rules<TrainStepOptions> = {
  ...onExecutor,
  optimizer: mustBe.given(optimizerRule),
  average: mustBe.rate,
  objective: mustBe.fn,
  recompute: lossRules.recompute,
  gathers: mustBe.flag,
  seed: mustBe.whole,
  inputs: mustBe.object,
};

interface Way extends Pick<TrainStep, 'collect' | 'gathered' | 'apply' | 'reads'> {
  /** The step of the optimiser, as it was described first. */
  readonly described: OptimizerStep;
  /** Programs whose results are to be read, by step. */
  readonly told: Executable[];
  /** Compiles what batches of such columns need. */
  prepare(inputs: BatchSpec): Promise<unknown>;
  trim(): void;
  close(): void;
}

/** Reports of steps by several programs, in the order of the steps. */
const readResults = async (told: Executable[], metrics: readonly string[]): Promise<StepResult[]> => {
  const runs = [...told];
  const kept = new Map<Executable, Record<string, TypedArray>[]>();
  for (const executable of new Set(runs)) kept.set(executable, await executable.kept());
  // Not before: what some of them did is still there when another one failed.
  told.splice(0, runs.length);
  return runs.flatMap((executable) => {
    const one = kept.get(executable)!.shift();
    if (!one) return [];
    const at = (name: string): number => one[name]![0]!;
    return [
      {
        loss: at('loss'),
        gradNorm: at('gradNorm'),
        finite: at('finite') === 1,
        metrics: Object.fromEntries(metrics.map((name) => [name, at(metricOutput(name))])),
      },
    ];
  });
};

/**
 * Makes a training step. One batch a step is one program: forward, backward and optimiser. A step that gathers has one that adds gradients
 * up and one that applies them; both are exact means over all that counts, whatever part of it each batch has. Throws `bad-option` for an optimiser that
 * does not step.
 */
export const makeTrainStep = async (target: Trainable, options: TrainStepOptions): Promise<TrainStep> => {
  checkOptions('makeTrainStep', rules, options);
  const { executor, optimizer, objective, recompute = false, gathers = false, average, seed = 0, inputs } = options;
  const lossOptions: LossOptions = { recompute, ...(objective && { objective }) };
  const names = metricNames(target.model, objective);
  const keep = { keep: stepOutputs(names) };
  const params = steppedParams(target);
  const transforms = makeTransformRun(target.hints);
  const finding = makeFinding(executor);
  const drawn = input('seed', [], 'u32');
  const feedsOf = ({ columns }: Batch, draw: number): Record<string, TypedArray> => ({
    ...columns,
    seed: Uint32Array.of(Math.imul(seed + 1, 0x9e3779b9) + draw),
  });

  /** Runs outputs of a step once, without its updates. */
  const runOnce =
    (feeds: Readonly<Record<string, TypedArray>>) =>
    async (outputs: Readonly<Record<string, Tensor>>): Promise<Record<string, TypedArray>> => {
      const executable = await compileNamed(buildProgram({ outputs, updates: [] }), executor);
      try {
        return await executable.run(feeds);
      } finally {
        executable.close();
      }
    };

  /** Where an average is asked for, its updates too: of what the parameters are in the end. */
  const withAverages = (program: Required<ProgramSpec>, { finite }: OptimizerStep): Required<ProgramSpec> =>
    average === undefined
      ? program
      : {
          ...program,
          updates: [...program.updates, ...averaged(program.updates, params, average, transforms.step(finite))],
        };

  const single = async (): Promise<Way> => {
    const stepOf = (columns: Inputs) => {
      const given = target.loss(columns, drawn, lossOptions);
      const loss = meanOf(given);
      const found = grad(loss, params);
      const gradients: Gradients = { values: new Map(params.map((p, i) => [p, found[i]!])) };
      return { given, loss, gradients, stepped: optimizerStep(optimizer, gradients, loss, target, transforms) };
    };
    const programs = makePrograms(executor, (columns) => {
      const { given, loss, gradients, stepped } = stepOf(columns);
      const metrics = Object.fromEntries(Object.entries(metricsOf(given, names)).map(([name, m]) => [name, meanOf(m)]));
      return withAverages(stepProgram(target, { loss, metrics, gradients }, stepped), stepped);
    });
    // The optimiser's variables, before there is a program.
    const none = { values: new Map(params.map((p) => [p, p])) };
    const described = optimizerStep(optimizer, none, constant(Float32Array.of(0), []), target, transforms);
    withAverages({ outputs: {}, updates: [] }, described);
    /** The host's part, of the batch that is then stepped by: a program for that step alone. */
    const findBefore = async (
      batch: Batch,
      step: number,
      feeds: Readonly<Record<string, TypedArray>>,
    ): Promise<void> => {
      const columns = Object.entries(specOf(batch)).map(([name, { shape, dtype }]) => [
        name,
        input(name, shape, dtype),
      ]);
      const { found, finite } = stepOf(Object.fromEntries(columns)).stepped;
      await finding.find(step, found, finite, runOnce(feeds));
    };
    const told: Executable[] = [];
    let next: { readonly batch: Batch; readonly draw: number } | null = null;
    return {
      told,
      described,
      gathered: [],
      reads: programs.variables,
      collect: async (batch, draw) => {
        if (next) throw new PeftError('bad-option', 'collect: this step takes one batch; make it with `gathers: true`');
        next = { batch, draw };
      },
      apply: async (step, rate) => {
        if (!next) throw new PeftError('bad-option', 'apply: nothing was collected');
        const { batch, draw } = next;
        next = null;
        const executable = await programs.of(specOf(batch));
        const feeds = { ...feedsOf(batch, draw), ...transforms.feeds(step, rate) };
        if (finding.isDue(step, described.found)) await findBefore(batch, step, feeds);
        told.push(executable);
        await executable.run(feeds, keep);
      },
      prepare: programs.of,
      trim: () => programs.trim(new Set(told)),
      close: programs.close,
    };
  };

  const gathering = async (): Promise<Way> => {
    const { variables: gathered, add, mean, cleared } = makeGathered(params, names);
    const programs = makePrograms(executor, (columns) => add(target.loss(columns, drawn, lossOptions)));
    const stepped = optimizerStep(optimizer, mean.gradients, mean.loss, target, transforms);
    const { outputs, updates } = withAverages(stepProgram(target, mean, stepped), stepped);
    const apply = await compileNamed(buildProgram({ outputs, updates: [...updates, ...cleared] }), executor);
    const told: Executable[] = [];
    return {
      told,
      described: stepped,
      gathered,
      reads: programs.variables,
      collect: async (batch, draw) => {
        await (await programs.of(specOf(batch))).run(feedsOf(batch, draw), { read: [] });
        programs.trim(new Set());
      },
      apply: async (step, rate) => {
        const { found, finite } = stepped;
        const feeds = transforms.feeds(step, rate);
        if (finding.isDue(step, found)) await finding.find(step, found, finite, runOnce(feeds));
        told.push(apply);
        await apply.run(feeds, keep);
      },
      prepare: programs.of,
      trim: () => {},
      close: () => {
        apply.close();
        programs.close();
        executor.release(gathered);
      },
    };
  };

  const way = await (gathers ? gathering() : single());
  if (inputs) await way.prepare(inputs);
  const { resting, finite } = way.described;
  if (resting && average !== undefined)
    throw new PeftError('bad-option', 'train: the optimizer ends with averages by itself; leave `average` out');
  const wanted = average === undefined ? resting : averagesOf(params, transforms.step(finite));
  const rester = makeRest(wanted, executor);
  const needs = { model: target.model, columns: target.columns, free: objective !== undefined, parts: gathers };
  const collect: TrainStep['collect'] = async (batch, draw) => {
    await checkBatch(needs, { batch, name: 'the batch' });
    await way.collect(batch, draw);
  };
  return {
    collect,
    gathered: way.gathered,
    reads: way.reads,
    apply: way.apply,
    run: async (step, rate, batches) => {
      for (const [i, batch] of batches.entries()) await collect(batch, step * batches.length + i);
      await way.apply(step, rate);
    },
    results: async () => {
      const results = await readResults(way.told, names);
      way.trim();
      return results;
    },
    rest: rester.rest,
    state: transforms.state,
    close: () => {
      rester.close();
      way.close();
      executor.release([...transforms.state.values()].flat());
    },
  };
};
