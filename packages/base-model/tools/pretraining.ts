import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Batch, batch, fromArray, map, pipe, type Row, type Stream } from '@peftjs/data';
import { writeFileAtomic } from '@peftjs/io';
import { type Executor, randomSource, sizeOf } from '@peftjs/tensor';
import { adamw, allWeights, chain, clip, cosine, progressLine, type TrainResult, train } from '@peftjs/trainer';
import { parameters, type TaskModel } from '@peftjs/transformer';
import type { Document } from '../src/index.ts';
import { type readTokenizer, tokenStream } from './token-stream.ts';

/** What a script that pretrains is told by its flags. */
export interface Flags {
  readonly steps: number;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly out: string;
  readonly threads: { readonly threads?: number };
  readonly checkpoint: string | undefined;
}

/** Reads the flags of a script, whose defaults these are. */
export const flags = (defaults: Pick<Flags, 'steps' | 'batchSize' | 'out'>): Flags => {
  const { values } = parseArgs({
    options: {
      steps: { type: 'string', default: String(defaults.steps) },
      'learning-rate': { type: 'string', default: '3e-3' },
      'batch-size': { type: 'string', default: String(defaults.batchSize) },
      seed: { type: 'string', default: '0' },
      out: { type: 'string', default: defaults.out },
      threads: { type: 'string' },
      // Kept every 50 steps; the same command goes on from it.
      checkpoint: { type: 'string' },
    },
  });
  return {
    steps: Number(values.steps),
    learningRate: Number(values['learning-rate']),
    batchSize: Number(values['batch-size']),
    seed: Number(values.seed),
    out: values.out,
    threads: values.threads === undefined ? {} : { threads: Number(values.threads) },
    checkpoint: values.checkpoint,
  };
};

/** Writes a file of JSON into a folder, which is made. */
export const writeJson = async (folder: string, name: string, content: object, indent = 2): Promise<void> => {
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, name), `${JSON.stringify(content, null, indent)}\n`);
};

/** Documents as one stream of tokens, cut into rows. */
export const rowsOf = (
  tokenizer: ReturnType<typeof readTokenizer>,
  documents: readonly Document[],
  width: number,
): Uint16Array[] => {
  const stream = tokenStream(tokenizer, documents);
  return Array.from({ length: Math.floor(stream.length / width) }, (_, i) =>
    stream.subarray(i * width, (i + 1) * width),
  );
};

/** Rows to be visited: pass after pass over all, each in an order of its own. */
export const orderOf = (rows: number, visits: number, seed: number): number[] => {
  const order: number[] = [];
  for (let pass = 0; order.length < visits; pass++) {
    const random = randomSource(seed, `order ${pass}`);
    const keys = Array.from({ length: rows }, (_, i) => [random(), i] as const);
    order.push(...keys.sort(([a], [b]) => a - b).map(([, i]) => i));
  }
  return order.slice(0, visits);
};

/** Rows in an order as batches, each row made anew at every visit. */
export const batchesOf = (
  rows: readonly Uint16Array[],
  order: readonly number[],
  size: number,
  made: (row: Uint16Array, visit: number) => Row,
): Stream<Batch> =>
  pipe(
    fromArray(Array.from(order, (row, visit) => ({ row, visit }))),
    map((at): Row => {
      const { row, visit } = at as { row: number; visit: number };
      return made(rows[row]!, visit);
    }),
    batch({ size, mask: false }),
  );

/** Held-out rows in whole batches: all, and a sixteenth of them that shows the way. */
export const heldOutOrders = (rows: number, size: number): { readonly whole: number[]; readonly glimpse: number[] } => {
  const first = (count: number): number[] => Array.from({ length: Math.floor(count / size) * size }, (_, i) => i);
  return { whole: first(rows), glimpse: first(first(rows).length / 16) };
};

/** Trains all weights: AdamW, a warm-up, half a cosine. */
export const pretrain = (
  model: TaskModel<unknown>,
  { steps, seed, learningRate, checkpoint }: Flags,
  executor: Executor,
  data: Stream<Batch>,
  heldOut: Stream<Batch>,
): Promise<TrainResult> =>
  train(allWeights(model), {
    executor,
    data,
    steps,
    seed,
    schedule: cosine({ learningRate, steps, warmup: Math.min(100, Math.ceil(steps / 10)), floor: 0.02 }),
    optimizer: chain(clip(1), adamw({ beta2: 0.98, weightDecay: 0.05 })),
    heldOut: { data: heldOut, every: Math.max(1, Math.floor(steps / 6)), metrics: [] },
    ...(checkpoint && { checkpoint: { file: checkpoint, every: 50 } }),
    onStep: progressLine({ label: 'pretraining', lines: 60 }),
  });

/** The weights of a model, and how it was trained: mean loss of the last 100 steps, seconds, the held-out losses on the way. */
export const told = (
  model: TaskModel<unknown>,
  { losses, seconds, heldOut }: TrainResult,
): { readonly parameters: number; readonly trainLoss: number; readonly seconds: number; readonly curve: object } => ({
  parameters: [...parameters(model).values()].reduce((n, p) => n + sizeOf(p.shape), 0),
  trainLoss: losses.slice(-100).reduce((n, l) => n + l.loss, 0) / Math.min(100, losses.length),
  seconds: Math.round(seconds),
  curve: heldOut.map(({ step, loss }) => ({ step, loss })),
});
