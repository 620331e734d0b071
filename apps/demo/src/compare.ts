import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Curve } from '@peftjs/cli/shared';
import { aligned, inNewFolder, renderReport, say } from '@peftjs/cli/shared';
import { writeFileAtomic } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { forgetRuns, keepRuns, keptFile, ofRuns, readKept } from './kept-runs.ts';
import type { DemoOptions } from './options.ts';
import { count, type DemoResult } from './outcome.ts';

/** The output of `--compare --json`. */
export interface Comparison {
  readonly device: string;
  readonly baseLoss: number;
  /** The lowest held-out loss first. */
  readonly runs: readonly DemoResult[];
  /** The methods whose runs failed. */
  readonly failed: readonly string[];
  readonly report: string;
}

/** The arguments of one method's run: those of the comparison, with fewer measurements. */
const argsOf = (name: string, options: DemoOptions, out: string): string[] => {
  const { measurements = 3, ...own } = ofRuns(options);
  return Object.entries({ method: name, measurements, ...own, out })
    .flatMap(([key, value]) => (value === undefined ? [] : [`--${dashed(key)}`, String(value)]))
    .concat('--json');
};

const dashed = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Who asks for the end of a comparison. */
interface Stops {
  /** Whether somebody has. */
  isAsked(): boolean;
  /** Passes it on to a run, until that is at its end. */
  tell(child: ChildProcess): void;
  /** Listens no more. */
  end(): void;
}

/** Listens for the first SIGINT or SIGTERM; the second ends the process as it always does. */
const listenForStops = (): Stops => {
  let asked = false;
  let running: ChildProcess | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    end();
    asked = true;
    process.exitCode = signal === 'SIGINT' ? 130 : 143;
    // A terminal sends Ctrl-C to the run too, and a second one would end it at once.
    if (signal === 'SIGTERM' || !process.stdin.isTTY) running?.kill(signal);
  };
  const end = (): void => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  const tell = (child: ChildProcess): void => {
    running = child;
    child.once('exit', () => (running = null));
  };
  return { isAsked: () => asked, tell, end };
};

/** One method in a process of its own, so that its peak of memory is its own. Over the channel that it has it sees the end of this one. */
const runAlone = (name: string, options: DemoOptions, out: string, stops: Stops): Promise<DemoResult> =>
  new Promise((done, failed) => {
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...argsOf(name, options, out)], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    stops.tell(child);
    let text = '';
    child.stdout!.setEncoding('utf8').on('data', (piece: string) => void (text += piece));
    child.on('error', failed);
    child.on('close', (code, signal) => {
      if (code === 0) done(JSON.parse(text.trimEnd().split('\n').at(-1)!) as DemoResult);
      else
        failed(
          new PeftError(
            'bad-program',
            `--compare: the run of ${name} ended with ${signal ?? `code ${code}`}; what it said is above`,
          ),
        );
    });
  });

const columns = ['method', 'held-out loss', 'gain', 'trained', 'tokens/s', 'peak MiB', 'adapter KiB'];

const rowOf = (r: DemoResult): string[] => [
  r.method,
  r.tunedLoss.toFixed(4),
  (r.baseLoss - r.tunedLoss).toFixed(4),
  count(r.trainable),
  count(Math.round(r.tokensPerSecond)),
  count(Math.round(r.peakBytes / 2 ** 20)),
  count(Math.round(r.adapterBytes / 1024)),
];

const curveOf = async ({ method, losses }: DemoResult): Promise<Curve> => ({
  label: method,
  result: JSON.parse(await readFile(losses, 'utf8')) as Curve['result'],
  heldOutOnly: true,
});

/** Draws what is done and prints its table. */
const tell = async (
  runs: readonly DemoResult[],
  dir: string,
  options: DemoOptions,
): Promise<Omit<Comparison, 'failed'>> => {
  const best = runs[0]!;
  const { baseLoss, device } = best;
  const table = [columns, ...runs.map(rowOf)];
  const report = join(dir, 'report.html');
  const smallest = runs.reduce((a, b) => (b.adapterBytes < a.adapterBytes ? b : a));
  await writeFileAtomic(
    report,
    renderReport({
      title: `${runs.length} methods`,
      summary: `${options.steps} steps each with its own defaults, seed ${options.seed}, on ${device}. The base's held-out loss is ${baseLoss.toFixed(4)} nats per token. The learning rates are those that suit a narrow model, where they are known (docs/quality.md), else the papers'; --learning-rate gives all another.`,
      figures: [
        { name: 'Held-out loss, base', value: baseLoss.toFixed(3), note: 'nats per token' },
        { name: 'The lowest', value: best.tunedLoss.toFixed(3), note: best.method },
        {
          name: 'The smallest adapter',
          value: `${count(Math.round(smallest.adapterBytes / 1024))} KiB`,
          note: smallest.method,
        },
      ],
      curves: await Promise.all(runs.map(curveOf)),
      table,
    }),
  );
  const { stdout } = process;
  say(stdout, `\nHeld-out loss of the base: ${baseLoss.toFixed(4)} nats per token\n\n`);
  stdout.write(`${aligned(table, stdout.isTTY ? stdout.columns : undefined)}\n\n`);
  say(stdout, `Report:  ${report}\n`);
  return { device, baseLoss, runs, report };
};

/**
 * Runs several methods one after the other, each with its own defaults, on the same base, text and seed; prints a table, the lowest
 * held-out loss first, and draws it. A run that fails is named and the others go on. The same command goes on with a comparison that was stopped or
 * killed: methods that are done are not run again, and the one under way goes on from its last step. Throws `bad-program` when all fail, and when it is
 * stopped.
 */
export const compare = async (names: readonly string[], options: DemoOptions): Promise<Comparison> => {
  const file = await keptFile(names, options);
  const kept = await readKept(file);
  const runs: DemoResult[] = [...(kept?.runs ?? [])];
  const stops = listenForStops();
  const runAll = async (dir: string): Promise<Comparison | null> => {
    await keepRuns(file, { dir, runs });
    const failed: string[] = [];
    for (const [i, name] of names.entries()) {
      const isDone = runs.some(({ method }) => method === name);
      process.stderr.write(`\n${name}, ${i + 1} of ${names.length}${isDone ? ', was done before' : ''}\n`);
      if (isDone) continue;
      try {
        runs.push(await runAlone(name, options, join(dir, name), stops));
        await keepRuns(file, { dir, runs });
      } catch (error) {
        if (stops.isAsked()) return null;
        failed.push(name);
        say(process.stderr, `\n${(error as Error).message}\n`);
      }
      if (stops.isAsked() && runs.length + failed.length < names.length) return null;
    }
    if (runs.length === 0) {
      await forgetRuns(file);
      throw new PeftError('bad-program', `--compare: none of the runs ended well: ${failed.join(', ')}`);
    }
    runs.sort((a, b) => a.tunedLoss - b.tunedLoss);
    const told = await tell(runs, dir, options);
    await forgetRuns(file);
    return { ...told, failed };
  };
  try {
    const result = kept ? await runAll(kept.dir) : await inNewFolder(options.out, runAll);
    if (result) return result;
  } finally {
    stops.end();
  }
  throw new PeftError(
    'bad-program',
    `Stopped with ${runs.length} of ${names.length} methods done, which are kept: the same command goes on from there.`,
  );
};
