// Records today's bundle sizes as the ones that the tests compare with.
import { spawnSync } from 'node:child_process';

const { status } = spawnSync('pnpm', ['vitest', 'run', '-t', 'bundle'], {
  env: { ...process.env, PEFTJS_UPDATE_BUNDLE_SIZE: '1' },
  shell: process.platform === 'win32',
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
