import type { Executor } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { describeOp } from '@peftjs/tensor/testing';
import { afterAll, beforeAll } from 'vitest';
import { cpu } from '../src/index.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

for (const op of Object.values(ops) as unknown as AnyOp[]) describeOp(op, 'cpu', () => executor);
