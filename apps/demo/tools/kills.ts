// Kills the demo at random moments and starts it again: `pnpm --filter @peftjs/demo kills [COUNT] [SEED]`. Fails where more than the step in flight is
// lost, or where the end is not that of a run which nobody killed.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Run, runDemoCli } from '../test/cli.ts';
import { makeTiny } from '../test/tiny-model.ts';

const [count, seed] = [Number(process.argv[2] ?? 100), Number(process.argv[3] ?? 1)];
let state = seed;
const draw = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

const work = await mkdtemp(join(tmpdir(), 'peftjs-demo-kills-'));
const { tiny, text } = await makeTiny(work);
const demo = (out: string, onProgress?: Parameters<typeof runDemoCli>[1]): Promise<Run> =>
  runDemoCli(['--model', tiny, '--data', text, '--steps', '8', '--device', 'cpu', '--json', '--out', out], onProgress);
const lossesOf = async ({ code, stdout, stderr }: Run): Promise<string> => {
  if (code !== 0) throw new Error(`the demo ended with ${code}: ${stderr}`);
  return readFile(JSON.parse(stdout.trimEnd().split('\n').at(-1)!).losses, 'utf8');
};

const wanted = await lossesOf(await demo(join(work, 'undisturbed')));
let [kills, ends, last] = [0, 0, 0];
while (kills < count || last > 0) {
  const out = join(work, `run-${ends}`);
  const [moments, wait] = [kills < count ? 1 + Math.floor(5 * draw()) : Number.POSITIVE_INFINITY, 60 * draw()];
  let isDue = false;
  const run = await demo(out, (seen, kill) => {
    if (isDue || (seen.match(/step \d\/8/g) ?? []).length < moments) return;
    isDue = true;
    void setTimeout(wait).then(() => kill());
  });
  const steps = [...run.stderr.matchAll(/step (\d)\/8/g)].map(([, step]) => Number(step));
  const [first = last + 1] = steps;
  // A step is shown before it is written, so the one that was shown last may be done again.
  if (first < last || first > last + 1) throw new Error(`after step ${last} the demo went on with step ${first}`);
  last = steps.at(-1) ?? last;
  if (run.code === null) {
    kills++;
    continue;
  }
  if ((await lossesOf(run)) !== wanted) throw new Error(`run ${ends} ended with other losses`);
  const left = (await readdir(out)).filter((name) => name.startsWith('unfinished'));
  if (left.length > 0) throw new Error(`run ${ends} left ${left.join(', ')}`);
  [ends, last] = [ends + 1, 0];
}
await rm(work, { recursive: true });
console.log(`${kills} kills of the demo: ${ends} runs ended with the losses of one that nobody killed`);
