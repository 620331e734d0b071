import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { softwareGpuEnv } from '@peftjs/testkit/software-gpu';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pack } from '../src/pack/pack.ts';

const run = promisify(execFile);
const linux = process.platform === 'linux' && process.arch === 'x64';

let folder = '';
let bytes = 0;
beforeAll(async () => {
  if (!linux) return;
  folder = join(await mkdtemp(join(tmpdir(), 'peftjs-pack-')), 'pack');
  // In the place of Node, whose size and text nobody doubts.
  const node = join(folder, '../node');
  await writeFile(node, '');
  bytes = await pack(folder, { node });
}, 240_000);
afterAll(() => rm(join(folder, '..'), { recursive: true, force: true }));

test.runIf(linux)('a pack is small beside Node, and names nothing of the machine that made it', async () => {
  expect(bytes).toBeGreaterThan(5e6);
  // Node adds 36 MB.
  expect(bytes).toBeLessThan(20e6);
  for (const name of ['app/start.mjs', 'app/child.mjs', 'app/ours.mjs', 'start.sh', 'src/stacks/protocol.py'])
    expect(await readFile(join(folder, name), 'utf8'), name).not.toContain(import.meta.dirname);
  expect(Object.keys(JSON.parse(await readFile(join(folder, 'app/references.json'), 'utf8')))).toContain('lora-small');
});

test.runIf(linux)(
  'it checks kernels and measures a step with nothing but its folder, and --page reads what it writes',
  async () => {
    const args = [
      '--ops',
      'add,softmax',
      '--task',
      'smoke-lora',
      '--stack',
      'ours-webgpu',
      '--rounds',
      '1',
      '--seconds',
      '0.05',
    ];
    const env = { ...(await softwareGpuEnv()), VK_DRIVER_FILES: process.env['VK_DRIVER_FILES'] };
    const { stdout, stderr } = await run(process.execPath, [join(folder, 'app/start.mjs'), ...args], {
      cwd: folder,
      env,
    });
    expect(stdout).toMatch(/kernels on .*: 2 ops, \d+ samples, \d+ runs, 0 wrong/);
    expect(stdout).toMatch(/^ours-webgpu .* agrees$/m);
    const file = /written: (\S+\.json)/.exec(stderr)![1]!;
    const results = JSON.parse(await readFile(file, 'utf8'));
    expect(results.kernels).toMatchObject({ ops: 2, failures: [] });
    expect(results.rows).toMatchObject([{ task: 'smoke-lora', stack: 'ours-webgpu', agrees: true }]);
  },
  240_000,
);
