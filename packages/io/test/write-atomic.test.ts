import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { writeDirAtomic, writeFileAtomic } from '../src/write-atomic.ts';
import { filesIn, messageOf, scratch } from './scratch.ts';

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

test('a link is replaced by the file, what it led to is untouched', async () => {
  const dir = await scratch();
  await writeFile(join(dir, 'target'), 'old');
  await symlink('target', join(dir, 'link'));
  await writeFileAtomic(join(dir, 'link'), 'new');
  expect(await text(join(dir, 'target'))).toBe('old');
  expect(await text(join(dir, 'link'))).toBe('new');
});

const writer = `
  import { writeDirAtomic } from './src/write-atomic.ts';
  const [dir] = process.argv.slice(-1);
  for (let n = 1; ; n++) {
    const data = Buffer.alloc(300_000, String.fromCharCode(65 + (n % 26)));
    await writeDirAtomic(dir, new Map([['data', [data, data]], ['mark', String.fromCharCode(65 + (n % 26))]]));
    if (n === 1) process.stdout.write('ready');
  }
`;

test('a process killed at any moment leaves a whole folder or one without its mark', async () => {
  const root = join(import.meta.dirname, '..');
  let whole = 0;
  for (let round = 0; round < 4; round++) {
    const dir = join(await scratch(), 'out');
    const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '-e', writer, dir];
    const child: ChildProcess = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    const started = await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')]);
    expect(String(started[0])).toBe('ready');
    await new Promise((wake) => setTimeout(wake, 7 + 19 * round));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const mark = await text(join(dir, 'mark')).catch(() => undefined);
    if (mark === undefined) continue;
    expect(await text(join(dir, 'data'))).toBe(mark.repeat(600_000));
    whole++;
    await rm(dir, { recursive: true });
  }
  expect(whole).toBeGreaterThan(0);
});
