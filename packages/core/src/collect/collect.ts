import {
  add,
  buildProgram,
  compile,
  type Executable,
  type Executor,
  PeftError,
  sizeOf,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import type { Inputs, Linear, Path, TaskModel } from '@peftjs/transformer';
import type { Examples, PrepareOptions } from '../method.ts';
import { inputsOf } from './inputs-of.ts';

/** Sums that a pass over the data holds on the device. */
const bytesPerPass = 2 ** 30;

/** The sums of one layer, and the term of each that a batch adds. */
type Sums = Readonly<Record<string, Variable>>;
type Layers = readonly (readonly [Path, Sums])[];

/** The shapes of the sums of a layer, and the terms of a batch, by a graph of its columns. */
export interface Collecting {
  shapes(layer: Linear, path: Path): Readonly<Record<string, readonly number[]>>;
  terms(model: TaskModel, paths: readonly Path[], inputs: Inputs): ReadonlyMap<Path, Readonly<Record<string, Tensor>>>;
}

const zeros = (path: Path, name: string, shape: readonly number[]): Variable =>
  variable(`${path}.${name}`, shape, () => new Float32Array(sizeOf(shape)));

/** Consecutive layers whose sums fit into one pass. */
const passesOf = (layers: Layers): (readonly [Path, Sums])[][] => {
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
  layers: Layers,
  batch: Examples,
  { terms }: Collecting,
  executor: Executor,
): Promise<Batch> => {
  const found = terms(
    model,
    layers.map(([path]) => path),
    inputsOf(batch),
  );
  const updates = layers.flatMap(([path, sums]) =>
    Object.entries(sums).map(([name, total]) => [total, add(total, found.get(path)![name]!)] as const),
  );
  const reads = buildProgram({ updates }).inputs.map(({ name }) => name);
  return { program: await compile({ updates }, { executor }), reads };
};

/**
 * Sums over batches of what a pass tells of linear layers, on the executor: no activation comes to the host, only each layer's sums do, one after the other. Where the sums of all layers would not fit into 1 GiB of the
 * device, the data are gone through several times. Throws `diverged` for sums that are not finite.
 */
export const collect = async (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  { executor, data }: PrepareOptions,
  collecting: Collecting,
  take: (path: Path, sums: Readonly<Record<string, Float32Array>>) => Promise<void> | void,
): Promise<void> => {
  const all = paths.map((path): readonly [Path, Sums] => {
    const shapes = Object.entries(collecting.shapes(model.linears.get(path)!, path));
    return [path, Object.fromEntries(shapes.map(([name, shape]) => [name, zeros(path, name, shape)]))];
  });
  for (const layers of passesOf(all)) {
    const programs = new Map<string, Batch>();
    const held = layers.flatMap(([, sums]) => Object.values(sums));
    try {
      for (const batch of data) {
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
        await take(path, values);
        executor.release(Object.values(sums));
      }
    } finally {
      for (const { program } of programs.values()) program.close();
      executor.release(held);
    }
  }
};
