import type { TokenRows } from '@peftjs/data';
import { buildProgram, type Executor, input } from '@peftjs/tensor';
import { meanOf, type TaskModel } from '@peftjs/transformer';
import { evaluationBatches } from './batches.ts';

/** Mean cross-entropy per token, in nats, and how many tokens it is a mean of. */
export interface EvaluatedLoss {
  readonly loss: number;
  readonly tokens: number;
}

/** A compiled evaluation, to be run as the weights change. */
export interface Evaluator {
  run(): Promise<EvaluatedLoss>;
  close(): void;
}

/** Compiles the mean loss of a model over rows of tokens. */
export const makeEvaluator = async (
  model: TaskModel<unknown>,
  data: TokenRows,
  executor: Executor,
  batchSize: number,
): Promise<Evaluator> => {
  const ids = input('ids', [batchSize, data.context], 'i32');
  const labels = input('labels', [batchSize, data.context], 'i32');
  const executable = await executor.compile(buildProgram({ outputs: { loss: meanOf(model.loss({ ids, labels })) } }));
  return {
    run: async () => {
      let sum = 0;
      let tokens = 0;
      for (const batch of evaluationBatches(data, batchSize)) {
        const { loss } = await executable.run({ ids: batch.ids, labels: batch.labels });
        sum += loss![0]! * batch.tokens;
        tokens += batch.tokens;
      }
      return { loss: sum / tokens, tokens };
    },
    close: () => executable.close(),
  };
};

/** Mean cross-entropy per token of a model over rows of tokens, in nats. */
export const evaluateLoss = async (
  model: TaskModel<unknown>,
  data: TokenRows,
  executor: Executor,
  batchSize: number,
): Promise<EvaluatedLoss> => {
  const evaluator = await makeEvaluator(model, data, executor, batchSize);
  try {
    return await evaluator.run();
  } finally {
    evaluator.close();
  }
};
