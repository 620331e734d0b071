import type { Objective, Views } from '@peftjs/core';
import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import { requireModel, type TaskModel } from '@peftjs/transformer';
import { evaluationBatches, isTokenRows } from './batches.ts';
import { checkBatch, checkRows, type DataNeeds } from './check-data.ts';
import { alone, type Group } from './group.ts';
import { hasRepeated } from './has-repeated.ts';
import { metricNames, metricsOf } from './metrics-of.ts';
import { makePrograms, specOf } from './programs.ts';

/** Mean loss over all that counts (tokens, rows, pairs), in nats, and how many that are. */
export interface EvaluatedLoss {
  readonly loss: number;
  readonly tokens: number;
  /** Means of what the objective reports beside the loss, by name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** A compiled evaluation, to be run as the weights change. */
export interface Evaluator {
  /** Throws `bad-data` for batches that do not fit the model, and where nothing has a label. */
  run(): Promise<EvaluatedLoss>;
  close(): void;
}

/** The executor of an evaluation, and its sizes. */
export interface EvaluateLossOptions extends OnExecutor {
  /** Rows at a time, of data that is rows. Default 8. */
  readonly batchSize?: number;
  /** The loss, of views without chance: `dpo()`. Default: the task's own. */
  readonly objective?: Objective<never>;
  /** The model without the adapter, for an objective that compares with it. */
  readonly base?: TaskModel<unknown>;
}

/** The same, and the processes that share the work. */
export interface EvaluatorOptions extends EvaluateLossOptions {
  /** Default: this one alone. */
  readonly group?: Group;
}

const lossRules: Rules<EvaluateLossOptions> = {
  ...onExecutor,
  batchSize: mustBe.count,
  objective: mustBe.fn,
  base: mustBe.object,
};

/** Views of a model that is not trained. */
const stillViews = (model: TaskModel<unknown>, base: TaskModel<unknown> | undefined): Views<unknown> => ({
  train: () => model,
  evaluate: model,
  get base(): TaskModel<unknown> {
    if (base) return base;
    throw new PeftError(
      'bad-option',
      'evaluateLoss: the objective compares with the base; give it: { base: adapted.base }',
    );
  },
  passes: [],
});

async function* batchesOf(needs: DataNeeds, data: TokenRows | Stream<Batch>, size: number): AsyncGenerator<Batch> {
  if (isTokenRows(data)) return yield* evaluationBatches(data, size);
  const opened = data.open();
  let index = 0;
  for await (const batch of opened) {
    await checkBatch(needs, { batch, name: `batch ${index++} of the evaluation`, origin: opened.origin?.() });
    if (hasRepeated(opened.cursor()))
      throw new PeftError('bad-data', 'evaluation: the data begins anew; each row counts once: leave `repeat` out');
    yield batch;
  }
}

/**
 * Compiles the mean loss of a model over rows of tokens, `batchSize` at a time, or over the batches of a stream without `repeat`. Processes of a `group` evaluate a
 * share each, of the same data.
 */
export const makeEvaluator = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluatorOptions,
): Promise<Evaluator> => {
  checkOptions('makeEvaluator', { ...lossRules, group: mustBe.object }, options);
  const { executor, batchSize = 8, group = alone, objective, base } = options;
  const needs: DataNeeds = { model, free: objective !== undefined };
  if (isTokenRows(data)) checkRows('evaluation', needs, data);
  const names = metricNames(model, objective);
  const programs = makePrograms(executor, (inputs) => {
    const loss = objective ? (objective as Objective<unknown>)(stillViews(model, base), inputs) : model.loss(inputs);
    const parts = [loss, ...Object.values(metricsOf(loss, names))];
    return {
      outputs: Object.fromEntries(
        parts.flatMap((m, i) => [
          [`sum ${i}`, m.sum],
          [`weight ${i}`, m.weight],
        ]),
      ),
    };
  });
  return {
    run: async () => {
      // Sum and weight of the loss, then of each metric.
      let totals = Array<number>(2 * names.length + 2).fill(0);
      let index = 0;
      for await (const batch of batchesOf(needs, data, batchSize)) {
        if (index++ % group.size !== group.rank) continue;
        const found = await (await programs.of(specOf(batch))).run(batch.columns);
        programs.trim(new Set());
        totals = totals.map((n, i) => n + found[`${i % 2 === 0 ? 'sum' : 'weight'} ${i >> 1}`]![0]!);
      }
      if (group.size > 1) {
        // Each number as two floats, so that little of it is lost.
        const parts = Float32Array.from(totals.flatMap((x) => [Math.fround(x), x - Math.fround(x)]));
        await group.allReduce(parts);
        totals = totals.map((_, i) => parts[2 * i]! + parts[2 * i + 1]!);
      }
      const [sum, tokens] = totals as [number, number, ...number[]];
      if (tokens === 0)
        throw new PeftError('bad-data', 'evaluation: nothing in the data has a label, so there is no loss');
      const mean = (i: number): number => totals[2 * i]! / (totals[2 * i + 1]! || 1);
      return { loss: sum / tokens, tokens, metrics: Object.fromEntries(names.map((name, i) => [name, mean(i + 1)])) };
    },
    close: programs.close,
  };
};

/** Mean loss of a model over rows of tokens, `batchSize` at a time, or over the batches of a stream without `repeat`. Throws `bad-data` where nothing has a label. */
export const evaluateLoss = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluateLossOptions,
): Promise<EvaluatedLoss> => {
  requireModel('evaluateLoss', model);
  checkOptions('evaluateLoss', lossRules, options);
  const evaluator = await makeEvaluator(model, data, options);
  try {
    return await evaluator.run();
  } finally {
    evaluator.close();
  }
};
