import { writeSync } from 'node:fs';
import { cpu } from '@peftjs/onnx';
import { taskOf } from './tasks.ts';
import { type Job, tune } from './tune.ts';

/** Trainings of one contender in a process of their own, whose memory is theirs. Arguments: task, folder of the model, contender, threads, jobs as JSON. */
const [name, model, contender, threads, jobs] = process.argv.slice(2) as [string, string, string, string, string];
const task = taskOf(name);
const [data, executor] = [await task.data(model), await cpu({ threads: Number(threads) })];
const own = task.contenders.find((one) => one.name === contender)!;
for (const job of JSON.parse(jobs) as Job[])
  writeSync(1, `${JSON.stringify(await tune(task, own, data, { ...job, executor }))}\n`);
await executor.close();
