import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { settle } from '../src/disk/journal.ts';
import { locked } from '../src/disk/lock.ts';
import { self, temporaryName } from '../src/disk/owner.ts';
import { writeDirAtomic, writeFileAtomic } from '../src/disk/write-atomic.ts';
import { filesIn, scratch } from './scratch.ts';

async function* failing(error: Error): AsyncGenerator<Uint8Array, void> {
  yield new Uint8Array(1_000);
  throw error;
}

const text = (path: string): Promise<string> => readFile(path, 'utf8');

test('texts, bytes and pieces are written and replace what was there', async () => {
  const dir = await scratch();
  const path = join(dir, 'x');
  await writeFileAtomic(path, 'grün');
  expect(await text(path)).toBe('grün');
  await writeFileAtomic(path, Buffer.from('ab'));
  expect(await text(path)).toBe('ab');
  await writeFileAtomic(path, [Buffer.from('a'), Buffer.from(''), Buffer.from('bc')]);
  expect(await text(path)).toBe('abc');
  await writeFileAtomic(path, '');
  expect((await stat(path)).size).toBe(0);
  expect(await filesIn(dir)).toEqual(['x']);
});

test('a write that fails half-way leaves the old file and nothing else', async () => {
  const dir = await scratch();
  const path = join(dir, 'x');
  await writeFile(path, 'old');
  expect(await messageOf('write-failed', () => writeFileAtomic(path, failing(new Error('source broke'))))).toContain(
    'source broke. Nothing was changed',
  );
  const ours = new PeftError('bad-option', 'as it is');
  expect(await messageOf('bad-option', () => writeFileAtomic(path, failing(ours)))).toBe('as it is');
  expect(await text(path)).toBe('old');
  expect(await filesIn(dir)).toEqual(['x']);
});

test('the old file is whole until the new one is', async () => {
  const dir = await scratch();
  const path = join(dir, 'x');
  await writeFile(path, 'old');
  async function* slow(): AsyncGenerator<Uint8Array, void> {
    yield Buffer.from('ne');
    expect(await text(path)).toBe('old');
    yield Buffer.from('w');
  }
  await writeFileAtomic(path, slow());
  expect(await text(path)).toBe('new');
});

test('a path that cannot be written to is one error with its reason', async () => {
  const dir = await scratch();
  await mkdir(join(dir, 'folder', 'inner'), { recursive: true });
  expect(await messageOf('write-failed', () => writeFileAtomic(join(dir, 'none', 'x'), ''))).toContain(
    'no such file or folder',
  );
  expect(await messageOf('write-failed', () => writeFileAtomic(join(dir, 'folder'), 'x'))).toContain('folder');
  expect(await filesIn(dir)).toEqual(['folder', 'folder/inner']);
});

test('a folder is written with its parents, other files stay', async () => {
  const dir = join(await scratch(), 'a', 'b');
  await writeDirAtomic(
    dir,
    new Map([
      ['data', 'one'],
      ['mark', 'one'],
    ]),
  );
  await writeFile(join(dir, 'other'), 'kept');
  await writeDirAtomic(
    dir,
    new Map([
      ['data', 'two'],
      ['mark', 'two'],
    ]),
  );
  expect(await filesIn(dir)).toEqual(['data', 'mark', 'other']);
  expect(await text(join(dir, 'data'))).toBe('two');
  expect(await text(join(dir, 'mark'))).toBe('two');
});

test('folders within come with their files, and go when writing fails', async () => {
  const root = await scratch();
  const files = (late: string | AsyncGenerator<Uint8Array>): Map<string, string | AsyncGenerator<Uint8Array>> =>
    new Map([['inner/deep/data', 'one'] as const, ['late', late] as const, ['mark', ''] as const]);
  await messageOf('write-failed', () => writeDirAtomic(root, files(failing(new Error('source broke')))));
  expect(await filesIn(root)).toEqual([]);
  await writeDirAtomic(root, files('two'));
  expect(await filesIn(root)).toEqual(['inner', 'inner/deep', 'inner/deep/data', 'late', 'mark']);
  expect(await text(join(root, 'inner', 'deep', 'data'))).toBe('one');
});

test('a folder whose writing fails is as before, or not there', async () => {
  const root = await scratch();
  const broken = new Map<string, string | AsyncGenerator<Uint8Array>>([
    ['data', 'two'],
    ['mark', failing(new Error('source broke'))],
  ]);
  await messageOf('write-failed', () => writeDirAtomic(join(root, 'a', 'b'), broken));
  expect(await filesIn(root)).toEqual([]);

  await writeDirAtomic(
    join(root, 'c'),
    new Map([
      ['data', 'one'],
      ['mark', 'one'],
    ]),
  );
  const again = new Map<string, string | AsyncGenerator<Uint8Array>>([
    ['data', 'two'],
    ['mark', failing(new Error('source broke'))],
  ]);
  await messageOf('write-failed', () => writeDirAtomic(join(root, 'c'), again));
  expect(await filesIn(join(root, 'c'))).toEqual(['data', 'mark']);
  expect(await text(join(root, 'c', 'data'))).toBe('one');
});

test('a folder that is a file, and names that lead elsewhere, are refused before anything is written', async () => {
  const root = await scratch();
  await writeFile(join(root, 'file'), '');
  await mkdir(join(root, 'taken'));
  await messageOf('write-failed', () => writeDirAtomic(join(root, 'file'), new Map([['mark', '']])));
  expect(
    await messageOf('write-failed', () =>
      writeDirAtomic(
        root,
        new Map([
          ['mark', ''],
          ['taken', ''],
        ]),
      ),
    ),
  ).toContain('is a folder');
  for (const name of ['../x', 'a/../b', 'a/b', 'a//b', 'a/', '', '.', '..', '/x'])
    await messageOf('bad-option', () => writeDirAtomic(root, new Map([[name, '']])));
  await messageOf('bad-option', () => writeDirAtomic(root, new Map()));
  expect(await filesIn(root)).toEqual(['file', 'taken']);
});

test('links stay links and modes stay modes', async () => {
  const [dir, elsewhere] = [await scratch(), await scratch()];
  const [target, other] = [join(elsewhere, 'target'), join(elsewhere, 'other')];
  await writeFile(target, 'old');
  await chmod(target, 0o640);
  await symlink(target, join(dir, 'link'));
  await symlink('link', join(dir, 'second'));
  await writeFileAtomic(join(dir, 'second'), 'new');
  expect([await text(target), await readlink(join(dir, 'second')), await readlink(join(dir, 'link'))]).toEqual([
    'new',
    'link',
    target,
  ]);
  expect((await stat(target)).mode & 0o777).toBe(0o640);
  // A link to nothing gets what it leads to.
  await symlink(other, join(dir, 'mark'));
  await writeFile(join(dir, 'data'), 'old');
  await chmod(join(dir, 'data'), 0o600);
  const files = (value: string): Map<string, string> => new Map(['link', 'data', 'mark'].map((name) => [name, value]));
  for (const value of ['one', 'two']) {
    await writeDirAtomic(dir, files(value));
    for (const name of ['link', 'data', 'mark']) expect(await text(join(dir, name))).toBe(value);
    expect([await text(target), await text(other)]).toEqual([value, value]);
  }
  expect((await stat(join(dir, 'data'))).mode & 0o777).toBe(0o600);
  expect([await filesIn(dir), await filesIn(elsewhere)]).toEqual([
    ['data', 'link', 'mark', 'second'],
    ['other', 'target'],
  ]);
  await symlink('round', join(dir, 'about'));
  await symlink('about', join(dir, 'round'));
  expect(await messageOf('write-failed', () => writeFileAtomic(join(dir, 'round'), ''))).toContain('circle');
});

test('what killed processes have left is removed by the next who writes, what others are writing is not', async () => {
  const dir = await scratch();
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const [dead, alive] = [
    temporaryName('x').replace(`-${process.pid}-`, `-${gone}-`),
    temporaryName('x').replace(`-${process.pid}-`, `-${process.ppid}-`),
  ];
  const foreign = temporaryName('x').replace(/\.[0-9a-f]{8}-/, '.00000000-');
  const old = temporaryName('x').replace(/\.[0-9a-f]{8}-/, '.00000001-');
  for (const name of [dead, alive, foreign, old, '.x.tmp']) await writeFile(join(dir, name), '');
  await utimes(join(dir, old), 0, 0);
  await writeFileAtomic(join(dir, 'y'), '');
  expect(await filesIn(dir)).toHaveLength(6);
  await writeFileAtomic(join(dir, 'x'), '');
  expect((await filesIn(dir)).sort()).toEqual([alive, foreign, '.x.tmp', 'x', 'y'].sort());
  await writeFile(join(dir, '.peftjs.lock'), JSON.stringify({ host: self.host, pid: gone }));
  await writeFile(join(dir, dead), '');
  await writeDirAtomic(dir, new Map([['mark', '']]));
  expect((await filesIn(dir)).sort()).toEqual([alive, foreign, '.x.tmp', 'mark', 'x', 'y'].sort());
});

test('a journal moves nothing but its own temporary files, whoever wrote it', async () => {
  const [root, outside] = [await scratch(), await scratch()];
  const dir = join(root, 'inner');
  await mkdir(dir);
  await writeFile(join(outside, 'precious'), 'kept');
  await writeFile(join(root, 'precious'), 'kept');
  const staged = temporaryName('precious');
  await writeFile(join(dir, staged), 'evil');
  await symlink(join(outside, 'precious'), join(dir, 'precious'));
  const journals: unknown[] = [
    [{ from: staged, to: '../precious' }],
    [{ from: staged, to: join(outside, 'precious') }],
    [{ from: staged, to: 'other' }],
    [{ from: staged, to: 'precious' }],
    [{ from: `x/../../${staged}`, to: 'x/../../precious' }],
    [{ from: staged }],
    [null],
    {},
    'x',
    [Array.from({ length: 200_000 }, () => ({ from: staged, to: 'precious' }))],
  ];
  for (const journal of journals) {
    await writeFile(join(dir, '.peftjs.journal'), JSON.stringify(journal));
    expect(await settle(dir)).toBe(true);
    expect(await settle(dir)).toBe(false);
    expect(await filesIn(dir)).toEqual([staged, 'precious']);
  }
  for (const place of [root, outside]) expect(await text(join(place, 'precious'))).toBe('kept');
});

test('a lock that is held is waited for, and said after a while', async () => {
  const dir = await scratch();
  const order: string[] = [];
  const slow = locked(dir, async () => {
    order.push('first');
    await new Promise((wake) => setTimeout(wake, 80));
    order.push('first done');
  });
  const next = locked(dir, async () => void order.push('second'));
  await Promise.all([slow, next]);
  expect(order.join()).toMatch(/^first,first done,second$|^second,first,first done$/);
  await writeFile(join(dir, '.peftjs.lock'), JSON.stringify({ host: '00000000', pid: 1 }));
  expect(await messageOf('write-failed', () => locked(dir, async () => {}, 50))).toContain('remove .peftjs.lock');
  // One that has been there for a minute was left; one without an owner sooner.
  await utimes(join(dir, '.peftjs.lock'), Date.now() / 1000 - 61, Date.now() / 1000 - 61);
  await locked(dir, async () => {});
  await writeFile(join(dir, '.peftjs.lock'), '');
  await utimes(join(dir, '.peftjs.lock'), Date.now() / 1000 - 2, Date.now() / 1000 - 2);
  await Promise.all([1, 2, 3].map(() => locked(dir, async () => {})));
  expect(await filesIn(dir)).toEqual([]);
});
