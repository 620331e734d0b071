// Trains a small adapter with a pause in each step, until a signal ends it: `train-slowly.ts <checkpoint> [<milliseconds of the pause>]`.
import { setTimeout } from 'node:timers/promises';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { packTokens, train } from '../src/index.ts';

const steps = 200;
const pause = Number(process.argv[3] ?? 50);
const { stopped } = await train(attach(tinyLlama(), [lora({ rank: 2 })]), {
  executor: reference(),
  data: packTokens([Array.from({ length: 60 }, (_, i) => (i * 7) % 12)], { context: 6, endOfText: 12 }),
  steps,
  batchSize: 2,
  schedule: () => 0.01,
  checkpoint: { file: process.argv[2]!, every: 100 },
  stopOn: ['SIGINT', 'SIGTERM'],
  onStep: async ({ step }) => {
    console.log(`step ${step}`);
    await setTimeout(pause);
  },
});
console.log(`stopped by ${stopped}`);
