import { compile, type Executor, input, softmax, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { streamOf } from './batches.ts';
import type { ClassData, ClassExample } from './class-data.ts';

/** The probabilities of the classes, for each of the examples, which are one batch. */
export const predict = async (
  model: TaskModel<Tensor>,
  data: ClassData,
  examples: readonly ClassExample[],
  executor: Executor,
): Promise<readonly Float32Array[]> => {
  const { value: all } = await streamOf(data, examples, examples.length).open().next();
  const { labels: _, ...read } = all!.columns;
  const inputs = Object.fromEntries(
    Object.entries(read).map(([name, values]) => [
      name,
      input(name, all!.shapes[name]!, values instanceof Float32Array ? 'f32' : 'i32'),
    ]),
  );
  const program = await compile({ outputs: { probabilities: softmax(model.outputs(inputs)) } }, { executor });
  try {
    const probabilities = (await program.run(read))['probabilities'] as Float32Array;
    const classes = data.labels.length;
    return examples.map((__, i) => probabilities.slice(i * classes, (i + 1) * classes));
  } finally {
    program.close();
  }
};
