import { type ClassData, endless, streamOf } from '@peftjs/demo/classes';
import { type Executor, isPeftError, sizeOf } from '@peftjs/tensor';
import { cosine, evaluateModel, train } from '@peftjs/trainer';
import { loadModel, parameters } from '@peftjs/transformer';
import { watched } from '../quality/watched.ts';
import { forgetPeak, peakMemory } from '../run/peak-memory.ts';
import { type ClassTask, type Contender, warmupOf } from './class-task.ts';

/** The outcome of a training, on held-out examples. A loss is null where the training diverged. */
export interface Tuned {
  /** Trained values, the head's among them. */
  readonly parameters: number;
  readonly accuracy: number;
  /** The mean over classes of the F1 score. */
  readonly macroF1: number;
  /** Nats an example. */
  readonly loss: number | null;
  /** Training losses of the first steps. */
  readonly first: readonly number[];
  /** Rows that a second of one processor trains, the first steps apart. */
  readonly rowsPerSecond: number;
  /** The most that the process had resident while it trained, in bytes. */
  readonly resident: number;
  /** Planned peak of a training step, in bytes; null of a peer, which makes no plan. */
  readonly planned: number | null;
}

/** A training: what is trained, at which rate, from which seed. */
export interface Job {
  readonly learningRate: number;
  readonly seed: number;
}

/** Steps whose losses are kept and whose time does not count. */
export const firstSteps = 3;

const diverged = { accuracy: 0, macroF1: 0, loss: null };

/** Trains by the shared settings: AdamW without decay after `clip(1)`, a warm-up, then half a cosine. */
export const tune = async (
  task: ClassTask,
  { make, changesBase = false }: Contender,
  data: ClassData,
  { learningRate, seed, executor }: Job & { readonly executor: Executor },
): Promise<Tuned> => {
  const { steps, batchSize } = task;
  const model = await loadModel(data.dir, { task: data.task, seed, newHead: true });
  const target = make(model, seed);
  const watch = watched(executor);
  const first: number[] = [];
  let [used, resident] = [0, 0];
  const cpu = (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
  forgetPeak();
  const outcome = async () => {
    try {
      await train(target, {
        executor: watch.executor,
        data: endless(data, seed, batchSize),
        steps,
        seed,
        schedule: cosine({ learningRate, steps, warmup: warmupOf(task) }),
        onStep: ({ step, loss }) => {
          if (step <= firstSteps) first.push(loss);
          if (step === firstSteps || step === steps) used = cpu() - used;
        },
      });
    } catch (error) {
      if (!isPeftError(error) || error.code !== 'diverged') throw error;
      return diverged;
    }
    resident = peakMemory();
    const { loss, metrics } = await evaluateModel(target.model, streamOf(data, data.test), { executor });
    return { accuracy: metrics['accuracy']!, macroF1: metrics['macroF1']!, loss };
  };
  const { accuracy, macroF1, loss } = await outcome();
  executor.release(target.state.values());
  if (changesBase) executor.release(parameters(model).values());
  return {
    parameters: [...target.params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0),
    accuracy,
    macroF1,
    loss,
    first,
    rowsPerSecond: (batchSize * (steps - firstSteps)) / used,
    resident,
    planned: watch.peak(),
  };
};
