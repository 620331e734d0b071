// One of several processes that train: `mpirun -n 2 node … train-in-group.ts '{"steps":50}'`. What each ends with goes to `<out>/<rank>.json`.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { linear, packTokens, type TrainResult, train } from '@peftjs/trainer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { openMpi } from '../src/index.ts';

/** The differences of a run. */
interface Asked {
  readonly out: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly accumulate?: number;
  readonly dropout?: number;
  /** The process that fails, how, and in which step. */
  readonly fails?: { readonly rank: number; readonly how: 'kill' | 'throw' | 'exit 0' | 'seed'; readonly step: number };
}

/** What a process says at its end. */
export interface Ended {
  readonly rank: number;
  readonly size: number;
  readonly threads: number;
  readonly library: string | null;
  readonly weights: readonly number[];
  readonly losses: readonly number[];
}

const { out, steps, batchSize, accumulate = 1, dropout = 0, fails } = JSON.parse(process.argv[2]!) as Asked;
const { group, threads, library, close } = await openMpi();
const isFailing = fails?.rank === group.rank;
const executor = await cpu({ threads });
const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout })]);
const data = packTokens([Array.from({ length: 200 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});
const end = (): unknown => {
  if (fails?.how === 'kill') return process.kill(process.pid, 'SIGKILL');
  if (fails?.how === 'exit 0') return process.exit(0);
  throw new Error('boom');
};
const result: TrainResult = await train(adapted, {
  executor,
  data,
  steps,
  batchSize,
  accumulate,
  group,
  seed: isFailing && fails.how === 'seed' ? 1 : 0,
  schedule: linear({ learningRate: 2e-3, steps }),
  onStep: ({ step }) => {
    if (group.rank === 0) process.stderr.write(`step ${step}\n`);
    if (isFailing && fails.how !== 'seed' && step === fails.step) end();
  },
});
const weights: number[] = [];
for (const p of adapted.params.values()) weights.push(...(await executor.read(p)));
await executor.close();
await close();
const ended: Ended = {
  rank: group.rank,
  size: group.size,
  threads,
  library,
  weights,
  losses: result.losses.map((l) => l.loss),
};
await writeFile(join(out, `${group.rank}.json`), JSON.stringify(ended));
