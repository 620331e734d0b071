// The share of a step that processes spend on each other: `mpirun -n 4 node … communication.ts MODEL [ROWS] [STEPS]`, of LoRA with so many rows for each. The first process prints it.

import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { type Group, packTokens, train } from '@peftjs/trainer';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { openMpi } from '../src/index.ts';

const dir = process.argv[2] ?? '';
const [rows = 8, steps = 30] = process.argv.slice(3).map(Number);
const { group, threads, library, close } = await openMpi();
const executor = await cpu({ threads });
const model = (await loadModel(dir)) as CausalLM;
const adapted = attach(model, [lora({ rank: 8 })]);
const tokens = Array.from({ length: 80_000 }, (_, i) => 1 + ((i * i) % 401));
const data = packTokens([tokens], { context: 128, endOfText: 0 });

/** Milliseconds of each sum: those until all have come, and those of the sum itself. */
const [waits, sums, ends]: [number[], number[], number[]] = [[], [], []];
let values = 0;
const timed: Group = {
  ...group,
  allReduce: async (all) => {
    const start = performance.now();
    await group.allReduce(new Float32Array(1));
    const met = performance.now();
    await group.allReduce(all);
    const end = performance.now();
    if (all.length < 1000) return;
    values = all.length;
    waits.push(met - start);
    sums.push(end - met);
    ends.push(end);
  },
};
await train(adapted, { executor, data, steps, batchSize: rows, group: timed, schedule: () => 1e-3 });
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
// The first steps warm up.
const of = (numbers: readonly number[]): number => median(numbers.slice(5));
const step = of(ends.map((end, i) => end - (ends[i - 1] ?? end)));
if (group.rank === 0)
  console.log(
    JSON.stringify({
      library,
      processes: group.size,
      threads,
      rows: rows! * group.size,
      values,
      stepMs: step,
      waitMs: of(waits),
      sumMs: of(sums),
      waitShare: of(waits) / step,
      sumShare: of(sums) / step,
    }),
  );
await executor.close();
await close();
