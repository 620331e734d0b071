import { afterAll, beforeAll } from 'vitest';
import type { AnyOp } from '../define-op.ts';
import type { Executor } from '../executor.ts';
import * as records from '../ops/records.ts';
import { describeOp } from '../testing/describe-op.ts';
import { openGpu } from './dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
// Memory is poisoned, and dispatches of more than 7 workgroups are folded.
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxWorkgroups: 7 });
});
afterAll(() => executor.close());

for (const op of Object.values(records) as unknown as AnyOp[]) describeOp(op, 'webgpu', () => executor);
