// Kills savers of adapters: `pnpm --filter @peftjs/io kills [COUNT] [SEED]`. Once before each step of a save, then COUNT pairs of savers at
// random moments, while the folder is read. Says how many saves were cut short; fails at the first adapter that is lost or mixed.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleSaver, ended, hasSaved, startSaver } from '../test/saver-process.ts';
import { readVersion, writeVersion } from '../test/versions.ts';

const [count, seed] = [Number(process.argv[2] ?? 300), Number(process.argv[3] ?? 1)];
const root = await mkdtemp(join(tmpdir(), 'peftjs-kills-'));
const bundle = await bundleSaver(root);
const fail = (text: string): never => {
  throw new Error(text);
};
const found: Record<string, number> = {};
const note = (what: string): void => {
  found[what] = (found[what] ?? 0) + 1;
};
let state = seed;
const draw = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

/** What a kill has left: the next who reads and the next who writes find it whole and tidy it up. */
const inspect = async (dir: string): Promise<number> => {
  for (const name of await readdir(dir))
    if (/^\.peftjs|\.tmp$/.test(name)) note(`left ${name.replace(/.*\.(\w+)$/, '.$1')}`);
  const version = await readVersion(dir);
  await writeVersion(dir, 1, 10);
  if ((await readVersion(dir)) !== 1) fail('the next save was not read');
  const left = (await readdir(dir)).filter((name) => name.startsWith('.'));
  if (left.length > 0) fail(`left over: ${left.join(', ')}`);
  return version;
};

const steps = Number(await ended(startSaver(bundle, join(root, 'steps'), 2, 100, 0)));
for (let step = 1; step <= steps + 10; step++) {
  const dir = join(root, `step-${step}`);
  await writeVersion(dir, 1, 100);
  await ended(startSaver(bundle, dir, 2, 100, step));
  note(`after a kill at one step: ${(await inspect(dir)) === 1 ? 'the old' : 'the new'}`);
}
for (let i = 0; i < count; i++) {
  const dir = join(root, `pair-${i}`);
  await writeVersion(dir, 1, 20_000);
  const children = [2, 3].map((first) => startSaver(bundle, dir, first, 20_000));
  await Promise.all(children.map(hasSaved));
  const until = performance.now() + 60 * draw();
  while (performance.now() < until) {
    await readVersion(dir);
    note('read while two saved');
  }
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(children.map(ended));
  if ((await inspect(dir)) < 1) fail('nothing is left');
  note('pairs killed');
  await rm(dir, { recursive: true });
}
await rm(root, { recursive: true });
for (const [what, times] of Object.entries(found)) console.log(`${String(times).padStart(6)}  ${what}`);
