import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const model = join(root, '../base-model/model');

test('the example of the README runs, and gives what it says', async () => {
  const code = /```ts\n([^]*?)```/
    .exec(await readFile(join(root, 'README.md'), 'utf8'))![1]!
    .replace("'model'", JSON.stringify(model));
  const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  const said = [...code.matchAll(/^console\.log.*\/\/ (.*)$/gm)].map(([, text]) => text);
  expect(stdout.trim().split('\n')).toEqual(said);
});
