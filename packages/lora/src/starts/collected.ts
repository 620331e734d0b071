import { grad } from '@peftjs/autograd';
import type { Examples, PrepareOptions } from '@peftjs/core';
import {
  abs,
  add,
  buildProgram,
  compile,
  constant,
  type DType,
  div,
  type Executable,
  type Executor,
  equal,
  input,
  matmul,
  max,
  mul,
  PeftError,
  reshape,
  sizeOf,
  stopGradient,
  sub,
  sum,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import {
  type Call,
  denseLinear,
  type Inputs,
  type Linear,
  meanOf,
  type Path,
  type TaskModel,
} from '@peftjs/transformer';

/** Sums that a pass over the data holds on the device. */
const bytesPerPass = 2 ** 30;

/** The sums of one layer, and the term of each that a batch adds. */
type Sums = Readonly<Record<string, Variable>>;
type Terms = ReadonlyMap<Path, Readonly<Record<string, Tensor>>>;

/** The shapes of the sums of a layer, and the terms of a batch, by a graph of its columns. */
interface Collecting {
  shapes(layer: Linear): Readonly<Record<string, readonly number[]>>;
  terms(model: TaskModel, paths: readonly Path[], inputs: Inputs): Terms;
  /** Whether each example is a batch by itself. */
  readonly oneByOne: boolean;
}

const rowsOf = ({ rows, columns, shapes }: Examples): Examples[] =>
  Array.from({ length: rows }, (_, i) => ({
    rows: 1,
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, values]) => {
        const size = values.length / rows;
        return [name, values.subarray(i * size, (i + 1) * size)];
      }),
    ),
    shapes: Object.fromEntries(Object.entries(shapes).map(([name, [, ...rest]]) => [name, [1, ...rest]])),
  }));

const dtypeOf = (values: TypedArray): DType => (values instanceof Float32Array ? 'f32' : 'i32');

const zeros = (path: Path, name: string, shape: readonly number[]): Variable =>
  variable(`${path}.${name}`, shape, () => new Float32Array(sizeOf(shape)));

/** Consecutive layers whose sums fit into one pass. */
const passesOf = (layers: readonly (readonly [Path, Sums])[]): (readonly [Path, Sums])[][] => {
  const passes: (readonly [Path, Sums])[][] = [];
  let left = 0;
  for (const layer of layers) {
    const bytes = Object.values(layer[1]).reduce((n, v) => n + 4 * sizeOf(v.shape), 0);
    if (bytes > left || passes.length === 0) {
      passes.push([]);
      left = bytesPerPass;
    }
    passes.at(-1)!.push(layer);
    left -= bytes;
  }
  return passes;
};

/** A program for batches of some shapes, and the columns that it reads. */
interface Batch {
  readonly program: Executable;
  readonly reads: readonly string[];
}

const compileBatch = async (
  model: TaskModel,
  layers: readonly (readonly [Path, Sums])[],
  { columns, shapes }: Examples,
  { terms }: Collecting,
  executor: Executor,
): Promise<Batch> => {
  const inputs = Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, input(name, shapes[name]!, dtypeOf(values))]),
  );
  const found = terms(
    model,
    layers.map(([path]) => path),
    inputs,
  );
  const updates = layers.flatMap(([path, sums]) =>
    Object.entries(sums).map(([name, total]) => [total, add(total, found.get(path)![name]!)] as const),
  );
  const reads = buildProgram({ updates }).inputs.map(({ name }) => name);
  return { program: await compile({ updates }, { executor }), reads };
};

/**
 * Sums over data of what layers see in a pass, on the executor: no activation comes to the host, only each layer's sums do, one after the other. Where the sums of all layers would not fit into 1 GiB of the
 * device, the data are gone through several times. `batches` tells how many there were. Throws `diverged` for sums that are not finite.
 */
const collect = async (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  { executor, data }: PrepareOptions,
  collecting: Collecting,
  take: (path: Path, sums: Readonly<Record<string, Float32Array>>, batches: number) => Promise<void> | void,
): Promise<void> => {
  const batches = collecting.oneByOne ? data.flatMap(rowsOf) : data;
  const all = paths.map((path): readonly [Path, Sums] => {
    const shapes = Object.entries(collecting.shapes(model.linears.get(path)!));
    return [path, Object.fromEntries(shapes.map(([name, shape]) => [name, zeros(path, name, shape)]))];
  });
  for (const layers of passesOf(all)) {
    const programs = new Map<string, Batch>();
    const held = layers.flatMap(([, sums]) => Object.values(sums));
    try {
      for (const batch of batches) {
        const key = JSON.stringify(batch.shapes);
        const batchOf = programs.get(key) ?? (await compileBatch(model, layers, batch, collecting, executor));
        programs.set(key, batchOf);
        await batchOf.program.run(Object.fromEntries(batchOf.reads.map((name) => [name, batch.columns[name]!])));
      }
      for (const [path, sums] of layers) {
        const values: Record<string, Float32Array> = {};
        for (const [name, v] of Object.entries(sums)) values[name] = (await executor.read(v)) as Float32Array;
        if (Object.values(values).some((t) => !t.every(Number.isFinite)))
          throw new PeftError('diverged', `${who}: what ${path} sees of the examples is not finite`);
        await take(path, values, batches.length);
        executor.release(Object.values(sums));
      }
    } finally {
      for (const { program } of programs.values()) program.close();
      executor.release(held);
    }
  }
};

/** Weights of the rows of a layer's input, [rows, 1]: what padding hides does not count, nor, of the tower that is to be learnt of, what has no label. */
const weightsOf = (
  x: Tensor,
  { sequence: { mask, tokens }, tower }: Call,
  labels: Tensor | null,
  main: string,
): Tensor => {
  const [batch, rows] = x.shape as readonly [number, number];
  const each = (t: Tensor): Tensor | null => (t.shape.length === 2 && t.shape[1] === rows ? t : null);
  const counted = [
    mask && each(mask),
    labels && tower.name === main && each(labels) ? sub(1, equal(labels, constant(Int32Array.of(-100), []))) : null,
  ].filter((t) => t !== null);
  const ones = constant(new Float32Array(batch * rows).fill(1), [batch, rows]);
  if (rows !== tokens) return reshape(ones, [batch * rows, 1]);
  return reshape(
    counted.reduce((a, b) => mul(a, b), ones),
    [batch * rows, 1],
  );
};

/** The inputs of layers in a pass, [tokens, in], and the weights of their rows. */
const inputsSeen = (
  model: TaskModel,
  paths: readonly Path[],
  inputs: Inputs,
  labelled: boolean,
): ReadonlyMap<Path, { readonly x: Tensor; readonly weights: Tensor }> => {
  const seen = new Map<Path, { readonly x: Tensor; readonly weights: Tensor }>();
  const labels = labelled ? (inputs['labels'] ?? null) : null;
  const watched = paths.map((path): [Path, Linear] => {
    const layer = model.linears.get(path)!;
    const apply: Linear['apply'] = (x, call) => {
      seen.set(path, { x: reshape(x, [-1, layer.inDim]), weights: weightsOf(x, call, labels, model.main.name) });
      return layer.apply(x, call);
    };
    return [path, { ...layer, apply }];
  });
  model.with({ linears: new Map(watched) }).outputs(inputs);
  return seen;
};

/** How inputs are summed. */
export interface InputSums {
  /** Whether each example is divided by the magnitude of its largest value, and counts as one. Default: tokens count. */
  readonly normalized?: boolean;
  /** Whether tokens without a label are left out. */
  readonly labelled?: boolean;
}

/** Σ xxᵀ [in, in], Σ x [in] and the number of the inputs of each layer, given to `take` layer by layer. Throws `diverged`. */
export const eachInputs = (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  look: PrepareOptions,
  { normalized = false, labelled = false }: InputSums,
  take: (
    path: Path,
    sums: { readonly products: Float32Array; readonly values: Float32Array; readonly count: number },
    batches: number,
  ) => Promise<void> | void,
): Promise<void> =>
  collect(
    who,
    model,
    paths,
    look,
    {
      oneByOne: normalized,
      shapes: ({ inDim }) => ({ products: [inDim, inDim], values: [inDim], count: [1] }),
      terms: (view, some, inputs) =>
        new Map(
          [...inputsSeen(view, some, inputs, labelled)].map(([path, { x: raw, weights }]) => {
            const scaled = normalized ? div(raw, maxMagnitude(raw)) : raw;
            const x = mul(scaled, weights);
            const terms = { products: matmul(x, scaled, { transposeA: true }), values: sum(x, { axes: [0] }) };
            return [path, { ...terms, count: reshape(sum(weights), [1]) }];
          }),
        ),
    },
    (path, { products, values, count }, batches) =>
      take(path, { products: products!, values: values!, count: count![0]! }, batches),
  );

/** |max x|, as Hugging Face PEFT's CorDA takes it. */
const maxMagnitude = (x: Tensor): Tensor => {
  const largest = max(max(x, { axes: [1] }), { axes: [0] });
  return abs(largest);
};

/** The sum over batches of the gradient of the mean loss by each layer's weight, [out, in], given to `take` layer by layer. Throws `diverged`. */
export const eachGradient = (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  look: PrepareOptions,
  take: (path: Path, gradient: Float32Array, batches: number) => Promise<void> | void,
): Promise<void> =>
  collect(
    who,
    model,
    paths,
    look,
    {
      oneByOne: false,
      shapes: ({ outDim, inDim }) => ({ gradient: [outDim, inDim] }),
      terms: (view, some, inputs) => {
        const dense = some.map((path) => view.linears.get(path)!.dense());
        // Another tensor than the base's own: a tied head shares its weight with the embedding.
        const weights = dense.map(({ weight }) => stopGradient(weight));
        const own = new Map(some.map((path, i) => [path, denseLinear({ ...dense[i]!, weight: weights[i]! })]));
        const gradients = grad(meanOf(view.with({ linears: own }).loss(inputs)), weights);
        return new Map(some.map((path, i) => [path, { gradient: gradients[i]! }]));
      },
    },
    (path, { gradient }, batches) => take(path, gradient!, batches),
  );
