import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { bytesOfArray, sha256 } from '@peftjs/io';
import { constant, type Executor, evaluate, gather, PeftError, type Tensor } from '@peftjs/tensor';
import { isTokenRows } from './batches.ts';
import { listed } from './finite.ts';
import type { Group } from './group.ts';
import type { RunIdentity } from './run-state.ts';
import type { Schedule } from './schedule.ts';
import { gatherJson } from './share.ts';
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
  const experts = [...model.experts].map(
    ([path, { count, outDim, inDim }]) => `${path} [${count}, ${outDim}, ${inDim}]`,
  );
  return shortHash([
    ...layers,
    ...experts,
    ...Object.keys(values).flatMap((name) => [name, bytesOfArray(found[name]!)]),
  ]);
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

/** The stages of a stream and their options, as its cursor at the front says them. */
const hashOfStream = async (data: Stream<Batch>): Promise<string> => {
  const opened = data.open();
  try {
    await opened.begin?.();
    return await shortHash([JSON.stringify(opened.cursor())]);
  } finally {
    await opened.return?.();
  }
};

/**
 * Compares the runs of all processes: beside their identity the stages of a stream, the parameters, the steps and their rates. Throws `state-mismatch` in each of them, with
 * all that differs from process 0, so that none waits for others that train something else.
 */
export const checkSameRun = async (
  target: Trainable,
  options: TrainOptions,
  { steps, schedule }: { readonly steps: number; readonly schedule: Schedule },
  group: Group,
): Promise<void> => {
  const { data, optimizer } = options;
  const shapes = [...target.params].map(([name, { shape }]) => `${name} [${shape}]`);
  const rates = [0, steps >> 1, steps - 1].map((i) => schedule(i, []));
  const own = {
    ...(await runIdentity(target, options)),
    ...(!isTokenRows(data) && { stream: await hashOfStream(data) }),
    parameters: `${shapes.length}, ${await shortHash(shapes)}`,
    steps: String(steps),
    rates: rates.map((rate) => rate.toPrecision(12)).join(', '),
    optimizer: optimizer?.name ?? 'the default',
  };
  const all = await gatherJson<RunIdentity>(own, group);
  const problems = all.flatMap((other, rank) =>
    differences(all[0]!, other).map((text) => `process ${rank}, beside process 0: ${text}`),
  );
  if (problems.length === 0) return;
  throw new PeftError(
    'state-mismatch',
    `train: the processes of the group don't train the same: ${listed(problems)}. Give all of them the same options.`,
  );
};

/** The differences of a stored run from the one that is asked for. */
export const differences = (stored: RunIdentity, asked: RunIdentity): string[] =>
  [...new Set([...Object.keys(asked), ...Object.keys(stored)])].flatMap((name) =>
    stored[name] === asked[name] ? [] : [`${name} was ${stored[name] ?? 'none'}, is ${asked[name] ?? 'none'}`],
  );
