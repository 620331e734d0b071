import { grad } from '@peftjs/autograd';
import type { Examples } from '@peftjs/core';
import {
  add,
  compile,
  type DType,
  type Executable,
  type Executor,
  input,
  mul,
  PeftError,
  sizeOf,
  stopGradient,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { denseLinear, meanOf, type Path, type TaskModel } from '@peftjs/transformer';

/** Sums of squares that a pass over the examples holds on the device. */
const bytesPerPass = 2 ** 30;

/** One example: its columns, of one row each. */
type Example = Pick<Examples, 'columns' | 'shapes'>;

/** Rows of examples, at most so many. */
const rowsOf = (data: readonly Examples[], most: number): Example[] =>
  data
    .flatMap(({ rows, columns, shapes }) =>
      Array.from({ length: rows }, (_, i): Example => {
        const ofRow = (values: TypedArray): TypedArray => {
          const size = values.length / rows;
          return values.subarray(i * size, (i + 1) * size);
        };
        return {
          columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, ofRow(values)])),
          shapes: Object.fromEntries(Object.entries(shapes).map(([name, [, ...rest]]) => [name, [1, ...rest]])),
        };
      }),
    )
    .slice(0, most);

const dtypeOf = (values: TypedArray): DType => (values instanceof Float32Array ? 'f32' : 'i32');

/** Consecutive matrices whose sums fit into one pass. */
const passesOf = (sums: readonly Variable[]): Variable[][] => {
  const passes: Variable[][] = [];
  let left = 0;
  for (const sum of sums) {
    const bytes = 4 * sizeOf(sum.shape);
    if (bytes > left || passes.length === 0) {
      passes.push([]);
      left = bytesPerPass;
    }
    passes.at(-1)!.push(sum);
    left -= bytes;
  }
  return passes;
};

/** Adds the squared gradient of one example's loss to the sums. */
const compileStep = (
  model: TaskModel,
  sums: ReadonlyMap<Path, Variable>,
  { columns, shapes }: Example,
  executor: Executor,
): Promise<Executable> => {
  const dense = [...sums.keys()].map((path) => model.linears.get(path)!.dense());
  // Another tensor than the base's own: a tied head shares its weight with the embedding.
  const weights = dense.map(({ weight }) => stopGradient(weight));
  const view = model.with({
    linears: new Map([...sums.keys()].map((path, i) => [path, denseLinear({ ...dense[i]!, weight: weights[i]! })])),
  });
  const inputs = Object.entries(columns).map(([name, values]) => [name, input(name, shapes[name]!, dtypeOf(values))]);
  const loss = meanOf(view.loss(Object.fromEntries(inputs)));
  const gradients = grad(loss, weights);
  const updates = [...sums.values()].map((sum, i) => [sum, add(sum, mul(gradients[i]!, gradients[i]!))] as const);
  return compile({ outputs: { loss }, updates }, { executor });
};

/**
 * The diagonal of the empirical Fisher information of linear layers' weights, times the number of examples: Σₙ (∂Lₙ/∂W)², Lₙ the mean
 * loss of one row of the data with its labels. Gives `take` one matrix [outDim · inDim] after the other. Where the sums of all matrices
 * would not fit into 1 GiB of the device, the data are gone through several times. Throws `bad-option` without a label, `diverged`.
 */
export const eachFisher = async (
  model: TaskModel,
  paths: readonly Path[],
  data: readonly Examples[],
  { samples }: { readonly samples: number },
  executor: Executor,
  take: (path: Path, values: ArrayLike<number>) => void,
): Promise<void> => {
  const examples = rowsOf(data, samples).filter(({ columns: { labels } }) => labels?.some((label) => label !== -100));
  if (examples.length === 0) throw new PeftError('bad-option', 'fishMask: none of the examples has a label to learn');
  const all = paths.map((path) => {
    const { outDim, inDim } = model.linears.get(path)!;
    return variable(path, [outDim, inDim], () => new Float32Array(outDim * inDim));
  });
  for (const pass of passesOf(all)) {
    const sums = new Map(pass.map((sum) => [sum.node.name, sum]));
    const steps = new Map<string, Executable>();
    try {
      for (const example of examples) {
        const key = JSON.stringify(example.shapes);
        const step = steps.get(key) ?? (await compileStep(model, sums, example, executor));
        steps.set(key, step);
        const { loss } = await step.run({ ...example.columns });
        if (!Number.isFinite(loss![0]))
          throw new PeftError('diverged', `fishMask: the loss of an example is ${loss![0]}`);
      }
      for (const [path, sum] of sums) {
        take(path, await executor.read(sum));
        executor.release([sum]);
      }
    } finally {
      for (const step of steps.values()) step.close();
      executor.release(sums.values());
    }
  }
};
