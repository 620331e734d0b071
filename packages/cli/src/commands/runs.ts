import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { readRunConfig } from '../config/read.ts';
import { count, result } from '../context.ts';
import { placeKind } from '../place-kind.ts';
import { aligned } from '../terminal.ts';
import { resultOf, runFiles } from '../train/run-folder.ts';

/** A run in a line of the table. */
interface Line {
  readonly name: string;
  readonly method: string;
  readonly rate: number | null;
  readonly steps: number | null;
  /** The last held-out loss; that of the last step where nothing is held out; null of a run that is not at its end. */
  readonly loss: number | null;
  readonly heldOut: boolean;
  readonly trained: number | null;
  readonly seconds: number | null;
}

const lineOf = async (dir: string, name: string): Promise<Line> => {
  const config = await readRunConfig(runFiles(dir).config, []);
  const found = await resultOf(dir);
  const { method, optimizer, steps } = config;
  return {
    name,
    method: method.name,
    rate: optimizer.rate ?? null,
    steps: steps ?? null,
    loss: [found?.heldOut?.[1], found?.loss].find((loss) => typeof loss === 'number') ?? null,
    heldOut: found?.heldOut != null,
    trained: found?.trained ?? null,
    seconds: found?.seconds ?? null,
  };
};

/** `peftjs runs`: the runs in a folder, the lowest loss first; those that are not at their end come last. Throws `bad-option` where there is none. */
export const run = async ({ args: [folder = 'runs'], context }: Call): Promise<void> => {
  const names = await readdir(folder).catch(() => []);
  const lines: Line[] = [];
  for (const name of names.sort()) {
    const dir = join(folder, name);
    if ((await placeKind(dir).catch(() => null)) === 'run') lines.push(await lineOf(dir, name));
  }
  if (lines.length === 0)
    throw new PeftError('bad-option', `runs: there are no runs in ${folder}; peftjs train makes one`);
  lines.sort((a, b) => (a.loss ?? Number.POSITIVE_INFINITY) - (b.loss ?? Number.POSITIVE_INFINITY));
  const rows = lines.map(({ name, method, rate, steps, loss, heldOut, trained, seconds }) => [
    name,
    loss === null ? 'not done' : `${loss.toFixed(4)}${heldOut ? '' : ' (training)'}`,
    method,
    rate?.toString() ?? '',
    steps === null ? '' : count(steps),
    trained === null ? '' : count(trained),
    seconds === null ? '' : `${seconds.toFixed(0)} s`,
  ]);
  const table = aligned([['run', 'loss', 'method', 'rate', 'steps', 'trained', 'time'], ...rows], context.out.columns);
  result(context, lines, table);
};
