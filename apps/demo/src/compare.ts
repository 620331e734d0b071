import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { DemoOptions } from './options.ts';
import { count, type DemoResult } from './outcome.ts';
import { inNewFolder } from './output.ts';
import type { Curve } from './report/chart.ts';
import { renderReport } from './report/report.ts';

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

/** The arguments of one method's run. */
const argsOf = (
  name: string,
  { steps, rank, learningRate, seed, device, data, model, quantize }: DemoOptions,
  out: string,
): string[] =>
  Object.entries({ method: name, steps, rank, 'learning-rate': learningRate, seed, device, data, model, quantize, out })
    .flatMap(([key, value]) => (value === undefined ? [] : [`--${key}`, String(value)]))
    .concat('--json');

/** One method in a process of its own, so that its peak of memory is its own. */
const runAlone = (name: string, options: DemoOptions, out: string): Promise<DemoResult> =>
  new Promise((done, failed) => {
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...argsOf(name, options, out)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => void (text += piece));
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

/** Columns of equal width: the first to the left, figures to the right. */
const aligned = (rows: readonly (readonly string[])[]): string => {
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
};

const curveOf = async ({ method, losses }: DemoResult): Promise<Curve> => ({
  label: method,
  result: JSON.parse(await readFile(losses, 'utf8')) as Curve['result'],
  heldOutOnly: true,
});

/**
 * Runs several methods one after the other, each with its own defaults, on the same base, text and seed; prints a table, the lowest
 * held-out loss first, and draws it. A run that fails is named and the others go on. Throws `bad-program` when all fail.
 */
export const compare = async (names: readonly string[], options: DemoOptions): Promise<Comparison> => {
  return await inNewFolder(options.out, async (dir) => {
    const runs: DemoResult[] = [];
    const failed: string[] = [];
    for (const [i, name] of names.entries()) {
      process.stderr.write(`\n${name}, ${i + 1} of ${names.length}\n`);
      try {
        runs.push(await runAlone(name, options, join(dir, name)));
      } catch (error) {
        failed.push(name);
        process.stderr.write(`\n${(error as Error).message}\n`);
      }
    }
    if (runs.length === 0)
      throw new PeftError('bad-program', `--compare: none of the runs ended well: ${failed.join(', ')}`);
    runs.sort((a, b) => a.tunedLoss - b.tunedLoss);
    const { baseLoss, device } = runs[0]!;
    const table = [columns, ...runs.map(rowOf)];
    const report = join(dir, 'report.html');
    const best = runs[0]!;
    await writeFileAtomic(
      report,
      renderReport({
        title: `${runs.length} methods`,
        summary: `${options.steps} steps each with its own defaults, seed ${options.seed}, on ${device}. The base's held-out loss is ${baseLoss.toFixed(4)} nats per token. The learning rates are those of the papers as a rule, many of them for far larger models; --learning-rate gives all another.`,
        figures: [
          { name: 'Held-out loss, base', value: baseLoss.toFixed(3), note: 'nats per token' },
          { name: 'The lowest', value: best.tunedLoss.toFixed(3), note: best.method },
          {
            name: 'The smallest adapter',
            ...((r) => ({ value: `${count(Math.round(r.adapterBytes / 1024))} KiB`, note: r.method }))(
              runs.reduce((a, b) => (b.adapterBytes < a.adapterBytes ? b : a)),
            ),
          },
        ],
        curves: await Promise.all(runs.map(curveOf)),
        table,
      }),
    );
    process.stdout.write(
      `\nHeld-out loss of the base: ${baseLoss.toFixed(4)} nats per token\n\n${aligned(table)}\n\nReport:  ${report}\n`,
    );
    return { device, baseLoss, runs, failed, report };
  });
};
