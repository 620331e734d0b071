import { writeSync } from 'node:fs';
import { runs } from './runs.ts';
import { tune } from './tune.ts';

/** One run in a process of its own, whose memory is that of the run. Arguments: the model's folder, the run's name and base, threads. */
const [dir, name, base, threads] = process.argv.slice(2) as [string, string, string, string];
const run = runs.find((own) => own.name === name && own.base === base)!;
writeSync(1, `${JSON.stringify(await tune(dir, run, Number(threads)))}\n`);
