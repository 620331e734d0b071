import { compile } from '@peftjs/tensor';
import { cpu } from '../src/index.ts';
import { type StepSizes, stepFeeds, transformerStep } from './transformer-step.ts';

/** One measurement in this process; prints one JSON object. Arguments: sizes as JSON, `full` or `lora`, threads, steps. */
const [sizesText, kind, threads, steps] = process.argv.slice(2);
const sizes = JSON.parse(sizesText!) as StepSizes;
const executor = await cpu({ threads: Number(threads) });
const begun = performance.now();
const executable = await compile(transformerStep(sizes, kind === 'full'), executor);
const compiled = performance.now() - begun;
const feeds = stepFeeds(sizes);
const losses: number[] = [];
const times: number[] = [];
for (let step = 1; step <= Number(steps); step++) {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  const { loss } = await executable.run(feeds(step));
  const { user, system } = process.cpuUsage(cpuStart);
  losses.push(loss![0]!);
  if (step > 3) times.push(performance.now() - start);
  if (process.env['CPU_TIME'])
    console.error(step, (performance.now() - start).toFixed(1), ((user + system) / 1000).toFixed(1));
}
const mean = times.reduce((a, b) => a + b, 0) / times.length;
const tokens = sizes.batch * sizes.tokens;
console.log(
  JSON.stringify({
    compileMs: Math.round(compiled),
    bestMs: Math.min(...times),
    meanMs: mean,
    tokensPerSecond: Math.round((tokens / mean) * 1000),
    firstLoss: losses[0],
    lastLoss: losses.at(-1),
    rssMB: Math.round(process.memoryUsage().rss / 1e6),
    peakRssMB: Math.round(process.resourceUsage().maxRSS / 1e3),
    planned: executable.plan,
  }),
);
await executor.close();
