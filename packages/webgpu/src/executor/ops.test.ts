import type { Executor } from '@peftjs/tensor';
import { ops as records } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { describeOp } from '@peftjs/tensor/testing';
import { afterAll, beforeAll } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
// Memory is poisoned, and dispatches of more than 7 workgroups are folded.
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxWorkgroups: 7 });
});
afterAll(() => executor.close());

for (const op of Object.values(records) as unknown as AnyOp[]) describeOp(op, 'webgpu', () => executor);
