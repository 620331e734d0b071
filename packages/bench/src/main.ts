import { runBench } from './bench.ts';
import { parseOptions } from './options.ts';

process.exitCode = await runBench(parseOptions(process.argv.slice(2)));
