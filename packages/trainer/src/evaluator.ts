import type { Objective, Views } from '@peftjs/core';
import type { Batch, Stream, TokenRows } from '@peftjs/data';
import {
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rule,
  type Rules,
  type Tensor,
} from '@peftjs/tensor';
import type { Task, TaskModel } from '@peftjs/transformer';
import { evaluationBatches, isTokenRows } from './batches.ts';
import { checkBatch, checkRows, type DataNeeds } from './check-data.ts';
import { alone, type Group } from './group.ts';
import { hasRepeated } from './has-repeated.ts';
import type { Measure } from './measures/measure.ts';
import { type MeasureName, measureOf, usualMeasures } from './measures/measure-of.ts';
import { joined, type Reader, readerOf } from './measures/outcomes.ts';
import { metricNames, metricsOf } from './metrics-of.ts';
import { makePrograms, specOf } from './programs.ts';
import { gatherJson } from './share.ts';

/** A model measured on data. */
export interface Evaluation {
  /** Mean over all that counts (tokens, rows, pairs), in nats. */
  readonly loss: number;
  /** How many that are. */
  readonly tokens: number;
  /** Measures by name: of its predictions; of a language model the perplexity, e^loss; what an objective reports beside the loss, as means. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** A compiled evaluation, to be run as the weights change. */
export interface Evaluator {
  /** Throws `bad-data` for batches that do not fit the model, and where nothing has a label. */
  run(): Promise<Evaluation>;
  close(): void;
}

/** The executor of an evaluation, its sizes and measures. */
export interface EvaluationOptions extends OnExecutor {
  /** Rows at a time, of data that is rows. Default 8. */
  readonly batchSize?: number;
  /**
   * Measures of predictions: their names, or functions of your own. Default: those that are usual for the task, `accuracy`, `macroF1` and `mcc` of classes; `accuracy`,
   * `microF1` and `macroF1` of sets of labels; `pearson` and `spearman` of numbers; `accuracy` and `entities` of tags; `spans` of answers. `[]` for none.
   */
  readonly metrics?: readonly (MeasureName | Measure)[];
  /** The loss, of views without chance: `dpo()`. Predictions are then not measured unless asked for. Default: the task's own. */
  readonly objective?: Objective<never>;
  /** The model without the adapter, for an objective that compares with it. */
  readonly base?: TaskModel<unknown>;
  /** Processes that share the work. Default: this one alone. */
  readonly group?: Group;
}

const isMetric = (v: unknown): boolean => typeof v === 'string' || typeof v === 'function';

/** The rule for measures among options. */
export const metricsRule: Rule = mustBe.such(
  'a list of names and functions',
  (v) => Array.isArray(v) && v.every(isMetric),
);

const rules: Rules<EvaluationOptions> = {
  ...onExecutor,
  batchSize: mustBe.count,
  metrics: metricsRule,
  objective: mustBe.fn,
  base: mustBe.object,
  group: mustBe.object,
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
  draw: null,
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

/** The part of an evaluation that comes to the host: sums and weights of the loss and of what the objective reports, and predictions. */
interface Share {
  readonly totals: readonly number[];
  readonly pairs: readonly (readonly [batch: number, found: ReturnType<Reader['pairs']>])[];
}

/** The heads whose loss has a perplexity. */
const languages: readonly string[] = ['causalLM', 'seq2seqLM', 'maskedLM'];

const requireFinite = (metrics: Evaluation['metrics']): void => {
  for (const [name, value] of Object.entries(metrics))
    if (!Number.isFinite(value))
      throw new PeftError('bad-data', `metrics: ${name} is ${value}; a measure is a finite number`);
};

/** The reader of predictions and their measures; null where none are asked for. Throws `bad-option`. */
const measuresOf = (
  task: Task<unknown>,
  { metrics, objective }: EvaluationOptions,
): { readonly reader: Reader; readonly metrics: readonly Measure[] } | null => {
  const reader = readerOf(task);
  const asked = metrics ?? (reader && !objective ? usualMeasures(reader.kind) : []);
  if (asked.length === 0) return null;
  if (reader) return { reader, metrics: asked.map((given) => measureOf(given, reader.kind)) };
  throw new PeftError(
    'bad-option',
    `metrics: ${task.name} makes no predictions that are measured, it has a loss alone; leave metrics out`,
  );
};

/**
 * Compiles the evaluation of a model on rows of tokens, `batchSize` at a time, or on the batches of a stream without `repeat`. Processes of a `group` evaluate a
 * share each, of the same data.
 */
export const makeEvaluator = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluationOptions,
): Promise<Evaluator> => {
  checkOptions('makeEvaluator', rules, options);
  const { executor, batchSize = 8, group = alone, objective, base } = options;
  const needs: DataNeeds = { model, free: objective !== undefined };
  if (isTokenRows(data)) checkRows('evaluation', needs, data);
  const { task } = model;
  const measures = measuresOf(task, options);
  const names = metricNames(model, objective);
  const programs = makePrograms(executor, (inputs) => {
    const run = objective && !measures ? null : model.run(inputs);
    const loss = objective ? (objective as Objective<unknown>)(stillViews(model, base), inputs) : run!.loss();
    const sums = [loss, ...Object.values(metricsOf(loss, names))].flatMap(({ sum, weight }) => [sum, weight]);
    const values = measures?.reader.of(run!.outputs() as Tensor);
    return { outputs: { ...Object.fromEntries(sums.map((t, i) => [`total ${i}`, t])), ...(values && { values }) } };
  });
  const share = async (): Promise<Share> => {
    const totals = Array<number>(2 * names.length + 2).fill(0);
    const pairs: [number, ReturnType<Reader['pairs']>][] = [];
    let index = 0;
    for await (const batch of batchesOf(needs, data, batchSize)) {
      if (index++ % group.size !== group.rank) continue;
      const found = await (await programs.of(specOf(batch))).run(batch.columns);
      programs.trim(new Set());
      for (const i of totals.keys()) totals[i]! += found[`total ${i}`]![0]!;
      if (measures) pairs.push([index, measures.reader.pairs({ values: found['values']!, batch, task })]);
    }
    return { totals, pairs };
  };
  return {
    run: async () => {
      const own = await share();
      const shares = group.size === 1 ? [own] : await gatherJson(own, group);
      const totals = own.totals.map((_, i) => shares.reduce((n, s) => n + s.totals[i]!, 0));
      const [sum, tokens] = totals as [number, number, ...number[]];
      if (tokens === 0)
        throw new PeftError('bad-data', 'evaluation: nothing in the data has a label, so there is no loss');
      const loss = sum / tokens;
      const mean = (i: number): number => totals[2 * i]! / (totals[2 * i + 1]! || 1);
      const metrics: Record<string, number> = Object.fromEntries(names.map((name, i) => [name, mean(i + 1)]));
      const isPlain = options.metrics === undefined && !objective;
      if (isPlain && languages.includes(task.head)) metrics['perplexity'] = Math.exp(loss);
      if (measures) {
        // In the data's order, whoever took them.
        const pairs = shares.flatMap((s) => s.pairs).toSorted(([a], [b]) => a - b);
        const outcomes = joined(
          measures.reader,
          pairs.flatMap(([, found]) => found),
        );
        const found = await Promise.all(measures.metrics.map((of) => of(outcomes)));
        for (const values of found) requireFinite(values);
        Object.assign(metrics, ...found);
      }
      return { loss, tokens, metrics };
    },
    close: programs.close,
  };
};
