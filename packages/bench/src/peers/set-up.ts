import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const pins = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const run = (file: string, args: readonly string[], cwd: string): boolean => {
  process.stderr.write(`${file} ${args.join(' ')}\n`);
  const { status, error } = spawnSync(file, args, { cwd, stdio: ['ignore', 2, 2] });
  if (error) process.stderr.write(`${error.message}\n`);
  return status === 0;
};

/** Installs the peers' pinned versions: those of JavaScript with npm, PyTorch's into virtual environments, one with Hugging Face PEFT and one with AdapterHub's adapters. The exit code of it all. */
export const setUpPeers = (peers: string): number => {
  const node = join(peers, 'node');
  mkdirSync(node, { recursive: true });
  for (const name of ['package.json', 'package-lock.json']) cpSync(pins(`node/${name}`), join(node, name));
  const python = (name: string, requirements: string): boolean =>
    run(process.env['PYTHON'] ?? 'python3', ['-m', 'venv', join(peers, name)], peers) &&
    run(join(peers, name, 'bin/python'), ['-m', 'pip', 'install', '-r', pins(requirements)], peers);
  const isDone = [
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], node),
    python('python', 'requirements.txt'),
    python('adapters', 'requirements-adapters.txt'),
  ];
  return isDone.every(Boolean) ? 0 : 1;
};
