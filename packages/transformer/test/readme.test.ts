import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { reference } from '@peftjs/tensor';
import { expect, onTestFinished, test } from 'vitest';
import { buildModel, saveModel } from '../src/index.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

const root = join(import.meta.dirname, '..');

test('the example of the README runs', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-readme-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await saveModel(buildModel(tinyConfig(), tinyWeights()), dir, { executor: reference() });
  const example = /```ts\n([^]*?)```/.exec(await readFile(join(root, 'README.md'), 'utf8'))![1]!;
  const code = example.replace("'model'", JSON.stringify(dir));
  const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  expect(stdout).toMatch(/^(\d+\n){16}loss Float32Array\(1\) \[ \d\.\d+ \]\n$/);
});
