import { grad } from '@peftjs/autograd';
import {
  buildProgram,
  constant,
  type Executor,
  evaluate,
  holds,
  reference,
  type Shape,
  type TypedArray,
} from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { type Inputs, parameters, type Task, type TaskModel } from '@peftjs/transformer';
import { type Law, slopesOf } from '@peftjs/transformer/testing';

/** Some rows of a batch: columns by name, each with its shape, `[rows, …]`. */
export interface TaskBatch {
  readonly rows: number;
  readonly columns: Readonly<Record<string, TypedArray>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** The row of a task: all that the laws must be told. */
export interface TaskRow<Out = unknown> {
  /** A tiny model with the task, the same each time: `tinyBert({}, 0, task)`. */
  model(): TaskModel<Out>;
  /** At least three rows, with what the task reads; no label of them is one that does not count. */
  readonly batch: TaskBatch;
  /** The mean loss by plain code, of the task's outputs in the order of the batch. */
  readonly mean?: (outputs: Float32Array, batch: TaskBatch) => number;
}

const partOf = ({ rows, columns, shapes }: TaskBatch, first: number, after: number): TaskBatch => {
  const sizeOf = (name: string): number => columns[name]!.length / rows;
  return {
    rows: after - first,
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, data]) => [name, data.slice(first * sizeOf(name), after * sizeOf(name))]),
    ),
    shapes: Object.fromEntries(Object.entries(shapes).map(([name, [, ...own]]) => [name, [after - first, ...own]])),
  };
};

const inputsOf = ({ columns, shapes }: TaskBatch): Inputs =>
  Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, constant(data, shapes[name]!)]));

interface Found {
  readonly sum: number;
  readonly weight: number;
}

const lossOf = async (model: TaskModel<unknown>, batch: TaskBatch): Promise<Found> => {
  const { sum, weight } = model.loss(inputsOf(batch));
  const found = await evaluate({ sum, weight }, { executor: reference() });
  return { sum: found['sum']![0]!, weight: found['weight']![0]! };
};

const mustBe = (what: string, got: Found, wanted: Found): void =>
  mustBeNear(`${what}: [sum, weight]`, [got.sum, got.weight], [wanted.sum, wanted.weight], { tolerance: 1e-6 });

/** The label that does not count; null where labels are numbers, which all count. */
const noneOf = ({ ignoreIndex = -100, columns }: Task<unknown>): number | null =>
  columns['labels']?.dtype === 'i32' ? ignoreIndex : null;

/** Loss and gradients of all weights, as graphs. */
const passOf = (model: TaskModel<unknown>, batch: TaskBatch) => {
  const { sum, weight } = model.loss(inputsOf(batch));
  const weights = [...parameters(model)];
  const found = grad(
    sum,
    weights.map(([, v]) => v),
  );
  return { sum, weight, ...Object.fromEntries(weights.map(([name], i) => [`gradient of ${name}`, found[i]!])) };
};

/** An executor computes loss and gradients as the definition does. */
export const mustAgreeOnTask = async ({ model, batch }: TaskRow, executor: Executor): Promise<void> => {
  const outputs = passOf(model(), batch);
  const wanted = await evaluate(outputs, { executor: reference() });
  const got = await evaluate(outputs, { executor });
  executor.release(buildProgram({ outputs }).variables);
  for (const [name, { shape }] of Object.entries(outputs))
    mustBeNear(name, got[name]!, wanted[name]!, { tolerance: tolerances.pass, shape });
};

const splits = ({ model, batch }: TaskRow): Law => ({
  name: 'the loss is a sum and a weight: rows one by one add up to the batch',
  check: async () => {
    const of = model();
    const whole = await lossOf(of, batch);
    if (!(whole.weight > 0)) throw new Error(`the weight of the batch is ${whole.weight}; give rows that count`);
    const parts: Found[] = [];
    for (let i = 0; i < batch.rows; i++) parts.push(await lossOf(of, partOf(batch, i, i + 1)));
    const sum = (pick: (of: Found) => number): number => parts.reduce((n, part) => n + pick(part), 0);
    mustBe('rows added up', { sum: sum((p) => p.sum), weight: sum((p) => p.weight) }, whole);
  },
});

const ignores = ({ model, batch }: TaskRow): Law => ({
  name: 'labels that do not count are as rows that are not there',
  check: async () => {
    const of = model();
    const none = noneOf(of.task);
    const labels = batch.columns['labels'];
    if (none === null || !labels) return;
    if (!holds('i32', labels)) throw new Error("labels must be an Int32Array, as this task's columns say");
    const size = labels.length / batch.rows;
    const hidden = labels.slice();
    hidden.fill(none, (batch.rows - 1) * size);
    const got = await lossOf(of, { ...batch, columns: { ...batch.columns, labels: hidden } });
    mustBe(`a last row of labels ${none}`, got, await lossOf(of, partOf(batch, 0, batch.rows - 1)));
    const all = await lossOf(of, { ...batch, columns: { ...batch.columns, labels: hidden.fill(none) } });
    mustBe(`nothing but labels ${none}`, all, { sum: 0, weight: 0 });
  },
});

const slopes = ({ model, batch }: TaskRow): Law => ({
  name: 'gradients equal differences, and reach the head',
  check: async () => {
    const of = model();
    const { sum } = of.loss(inputsOf(batch));
    const weights = [...parameters(of)];
    const found = grad(
      sum,
      weights.map(([, v]) => v),
    );
    const problems: string[] = [];
    let reaches = false;
    for (const [i, [name, v]] of weights.entries()) {
      const values = await evaluate(
        { gradient: found[i]!, ...slopesOf(sum, v, found[i]!, name) },
        { executor: reference() },
      );
      reaches ||= values['gradient']!.some((x) => x !== 0);
      const difference = differenceOf(values['analytic']!, values['numeric']!, { tolerance: 1e-4, shape: [1] });
      if (difference !== null)
        problems.push(
          `${name}: along a random direction the gradient gives ${values['analytic']![0]}, the difference ${values['numeric']![0]}`,
        );
    }
    if (!reaches) problems.push('no weight of the model has a gradient');
    if (problems.length > 0) throw new Error(problems.join('\n'));
  },
});

const means = ({ model, batch, mean }: TaskRow): Law => ({
  name: 'the mean is that of plain code',
  check: async () => {
    if (!mean) return;
    const of = model();
    const { sum, weight } = await lossOf(of, batch);
    const y = of.outputs(inputsOf(batch)) as Parameters<typeof evaluate>[0][string];
    const outputs = (await evaluate({ y }, { executor: reference() }))['y'] as Float32Array;
    mustBeNear('sum / weight', [sum / weight], [mean(outputs, batch)], { tolerance: tolerances.difference });
  },
});

/** Every law of a task, on the reference executor. */
export const taskLaws = (row: TaskRow): readonly Law[] => [splits(row), ignores(row), slopes(row), means(row)];
