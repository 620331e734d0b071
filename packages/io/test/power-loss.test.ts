import * as real from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { settle } from '../src/disk/journal.ts';
import { afterPowerLoss, type DiskStep, materialize, recordDisk, type Tree } from './power-loss.ts';
import { scratch } from './scratch.ts';

afterEach(() => vi.restoreAllMocks());

type Writers = typeof import('../src/disk/write-atomic.ts');

/** What the writers do to a disk while `work` runs; `mark` is the number of steps so far. */
const recorded = async (
  work: (writers: Writers, root: string, mark: () => number) => Promise<void>,
): Promise<readonly DiskStep[]> => {
  const root = await scratch();
  const { fs, steps } = recordDisk(real, root);
  const builtin = process.getBuiltinModule.bind(process);
  vi.spyOn(process, 'getBuiltinModule').mockImplementation(((name: string) =>
    name === 'node:fs/promises' ? fs : builtin(name)) as typeof process.getBuiltinModule);
  vi.resetModules();
  await work(await import('../src/disk/write-atomic.ts'), root, () => steps.length);
  return steps;
};

/** What is found, by `look`, after the power has failed at each step from `first` to `last`, in every state that is possible then. */
const found = async (
  steps: readonly DiskStep[],
  [first, last]: readonly [number, number],
  look: (root: string) => Promise<string>,
): Promise<ReadonlySet<string>> => {
  const trees = new Map<string, Tree>();
  const keyOf = (tree: Tree): string =>
    JSON.stringify([...tree].sort().map(([name, what]) => [name, what instanceof Map ? keyOf(what) : String(what)]));
  for (let n = first; n <= last; n++)
    for (const tree of afterPowerLoss(steps.slice(0, n))) trees.set(keyOf(tree), tree);
  const all = new Set<string>();
  const parent = await scratch();
  for (const [i, tree] of [...trees.values()].entries()) {
    const root = join(parent, String(i));
    await materialize(tree, root);
    all.add(await look(root));
  }
  return all;
};

const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => 'none');

describe('power fails at any moment', () => {
  const lookAtFile = (root: string): Promise<string> => text(join(root, 'x'));

  const twoFiles = async (): Promise<{ steps: readonly DiskStep[]; at: number[] }> => {
    const at: number[] = [];
    const steps = await recorded(async ({ writeFileAtomic }, root, mark) => {
      for (const content of ['old', 'new']) {
        await writeFileAtomic(join(root, 'x'), content);
        at.push(mark());
      }
    });
    return { steps, at };
  };

  test('a file is the old one or the new one, and the new one once the call has returned', async () => {
    const { steps, at } = await twoFiles();
    expect(await found(steps, [0, at[0]!], lookAtFile)).toEqual(new Set(['none', 'old']));
    expect(await found(steps, [at[0]!, at[1]!], lookAtFile)).toEqual(new Set(['old', 'new']));
    expect(await found(steps, [at[1]!, at[1]!], lookAtFile)).toEqual(new Set(['new']));
  });

  /** The reader's way: what was cut short is finished first, then the mark says whether there is anything. */
  const lookAtFolder = async (root: string): Promise<string> => {
    const dir = join(root, 'made', 'adapter');
    await settle(dir);
    const [config, weights, inner] = await Promise.all(
      ['config.json', 'weights', 'more/deep/weights'].map((name) => text(join(dir, name))),
    );
    return config === 'none' ? 'none' : `${config} ${weights} ${inner}`;
  };

  const twoFolders = async (): Promise<{ steps: readonly DiskStep[]; at: number[] }> => {
    const at: number[] = [];
    const steps = await recorded(async ({ writeDirAtomic }, root, mark) => {
      for (const content of ['old', 'new']) {
        const names = ['weights', 'more/deep/weights', 'config.json'];
        await writeDirAtomic(join(root, 'made', 'adapter'), new Map(names.map((name) => [name, content])));
        at.push(mark());
      }
    });
    return { steps, at };
  };

  test('a folder is the old one or the new one, whole, and the new one once the call has returned', async () => {
    const { steps, at } = await twoFolders();
    expect(await found(steps, [0, at[0]!], lookAtFolder)).toEqual(new Set(['none', 'old old old']));
    expect(await found(steps, [at[0]!, at[0]!], lookAtFolder)).toEqual(new Set(['old old old']));
    expect(await found(steps, [at[0]!, at[1]!], lookAtFolder)).toEqual(new Set(['old old old', 'new new new']));
    expect(await found(steps, [at[1]!, at[1]!], lookAtFolder)).toEqual(new Set(['new new new']));
  }, 120_000);

  test('who flushes no content, or no folder, is found out', async () => {
    const { steps, at } = await twoFiles();
    const without = (kind: DiskStep['kind']) => steps.map((step) => (step.kind === kind ? { kind: 'none' } : step));
    const look = (kind: DiskStep['kind'], from: number) =>
      found(without(kind) as unknown as DiskStep[], [from, at[1]!], lookAtFile);
    expect(await look('sync', at[0]!)).toContain('');
    expect(await look('flush', at[1]!)).toContain('none');
  });
});
