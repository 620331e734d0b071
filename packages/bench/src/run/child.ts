import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Values } from '../agreement.ts';
import type { Prepared } from '../data/prepare.ts';
import type { OpenWorker, StackOptions } from '../stacks/stack.ts';
import { peakMemory } from './peak-memory.ts';
import { type Done, mark, type Ready } from './protocol.ts';

/** One stack with one task in a process of its own. Arguments: the stack's module, its name, the task and the options as JSON. */
const [module, stack, prepared, options] = process.argv.slice(2) as [string, string, string, string];
const { open } = (await import(module)) as { readonly open: OpenWorker };
const worker = await open(stack, JSON.parse(prepared) as Prepared, JSON.parse(options) as StackOptions);
const say = (message: Ready | Done): void => void writeSync(1, `${mark}${JSON.stringify(message)}\n`);

say({ type: 'ready', device: worker.device, versions: worker.versions });
for await (const command of createInterface({ input: process.stdin })) {
  const ms: number[] = [];
  const values: Values[] = [];
  const [times, seconds] = command.split(' ').slice(1).map(Number) as [number, number];
  const end = performance.now() + seconds * 1000;
  do {
    const start = performance.now();
    const value = await worker.run();
    ms.push(performance.now() - start);
    if (values.length < 5) values.push(value);
  } while (ms.length < times && performance.now() < end);
  const memory = worker.memory?.();
  say({ type: 'done', ms, values, peakBytes: peakMemory(), ...(memory && { memory }) });
}
await worker.close();
// Pools of threads of some peers would keep the process alive.
process.exit(0);
