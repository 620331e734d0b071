import type { Objective } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import { type Evaluation, evaluateModel } from '@peftjs/trainer';
import { counted } from '../bar.ts';
import type { RunConfig } from '../config/schema.ts';
import type { Context } from '../context.ts';
import { batches, rowsOf } from '../data/examples.ts';
import { objectiveOf } from './objective-of.ts';
import { openRun } from './open-run.ts';

/** A run's model on examples, and the base before it. */
export interface EvaluatedRun {
  readonly unit: 'token' | 'example' | 'pair';
  readonly examples: number;
  readonly tuned: Evaluation;
  readonly base: Evaluation;
}

/** Measures the adapter of a run on other examples, by the run's own task and loss. Throws as `openRun`, `evaluateModel`. */
export const evaluateRun = async (
  config: RunConfig,
  adapter: string,
  executor: Executor,
  { context: asked, shown }: { readonly context?: number | undefined; readonly shown: Pick<Context, 'err'> },
): Promise<EvaluatedRun> => {
  const { lesson, base, adapted } = await openRun(config, adapter);
  const room = Math.min(base.config.maxPositions, adapted.model.passPositions, config.data.context ?? 1024);
  const options = { ...config, context: asked ?? room };
  const raw = await lesson.open(config.data.train);
  let examples = 0;
  for await (const _ of raw.open()) examples++;
  const stream = batches(lesson, config)(rowsOf(raw, lesson, base, options));
  const objective = (await objectiveOf(config, lesson.task, base)) as Objective<never> | undefined;
  const how = { executor, ...(objective?.measures && { objective, base }) };
  const measure = async (model: typeof base, label: string): Promise<Evaluation> => {
    const own = counted(stream, shown, label, { total: examples, group: lesson.group });
    try {
      return await evaluateModel(model, own.stream, how);
    } finally {
      own.end();
    }
  };
  return {
    unit: lesson.unit,
    examples,
    tuned: await measure(adapted.model, 'Measuring'),
    base: await measure(base, 'Measuring the base'),
  };
};
