import type { TokenRows } from '@peftjs/data';
import { bytesOfArray, sha256 } from '@peftjs/io';
import { constant, type Executor, evaluate, gather, type Tensor } from '@peftjs/tensor';
import { isTokenRows } from './batches.ts';
import type { RunIdentity } from './run-state.ts';
import type { TrainOptions } from './train-options.ts';
import type { Trainable } from './trainable.ts';

/** Rows of each embedding that tell one base from another. */
const sampled = 8;

const shortHash = async (pieces: Iterable<Uint8Array | string>): Promise<string> => {
  const hash = sha256();
  for (const piece of pieces) hash.update(typeof piece === 'string' ? new TextEncoder().encode(`${piece}\n`) : piece);
  return (await hash.digest()).slice(0, 16);
};

const hashOfRows = ({ context, rows }: TokenRows): Promise<string> =>
  shortHash(
    (function* () {
      yield String(context);
      for (const row of rows) {
        yield String(row.length);
        yield bytesOfArray(row);
      }
    })(),
  );

/** The marks of a frozen base: its layers, the values of its norms, and the first rows of its embeddings. All of its weights would be gigabytes. */
const hashOfBase = async (model: Trainable['model'], executor: Executor): Promise<string> => {
  const values: Record<string, Tensor> = {};
  for (const [path, { weight, bias }] of model.norms) {
    values[`${path}.weight`] = weight;
    if (bias) values[`${path}.bias`] = bias;
  }
  for (const [path, { weight, rows }] of model.embeddings) {
    const first = Int32Array.from({ length: Math.min(sampled, rows) }, (_, i) => i);
    values[path] = gather(weight, constant(first, [first.length]));
  }
  const found = await evaluate(values, { executor });
  const layers = [...model.linears].map(([path, { outDim, inDim }]) => `${path} [${outDim}, ${inDim}]`);
  return shortHash([...layers, ...Object.keys(values).flatMap((name) => [name, bytesOfArray(found[name]!)])]);
};

/**
 * Tells a run from others: its data, its seed and sizes, its method with all options, its base. Not the schedule, the optimiser's options and the number
 * of steps: who lowers the rate or lengthens the run goes on with what is there.
 */
export const runIdentity = async (
  target: Trainable,
  { data, seed = 0, batchSize, accumulate = 1, group, executor }: TrainOptions,
): Promise<RunIdentity> => {
  const { base, method, model } = target;
  return {
    model: `${model.config.modelType} for ${model.task.name}`,
    // Trained as a whole, it is what the checkpoint holds.
    ...(base && method && { base: await hashOfBase(base as Trainable['model'], executor) }),
    ...(base && method && { method: `${method.name} ${await shortHash([JSON.stringify(method.config(base))])}` }),
    data: isTokenRows(data) ? `${data.rows.length} rows, ${await hashOfRows(data)}` : 'a stream',
    seed: String(seed),
    ...(isTokenRows(data) && { batchSize: String(batchSize ?? 8) }),
    accumulate: String(accumulate),
    processes: String(group?.size ?? 1),
  };
};

/** The differences of a stored run from the one that is asked for. */
export const differences = (stored: RunIdentity, asked: RunIdentity): string[] =>
  [...new Set([...Object.keys(asked), ...Object.keys(stored)])].flatMap((name) =>
    stored[name] === asked[name] ? [] : [`${name} was ${stored[name] ?? 'none'}, is ${asked[name] ?? 'none'}`],
  );
