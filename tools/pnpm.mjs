import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of the workspace, an absolute path. */
export const root = fileURLToPath(new URL('..', import.meta.url));

// cmd.exe starts npm's and pnpm's .cmd files; every argument below is a plain word.
const shell = process.platform === 'win32';

const environment = {
  ...process.env,
  // pnpm asks nothing and npx installs without a question, with or without a terminal.
  CI: 'true',
  // Another version must say so rather than turn itself into ours: then the copy below is taken.
  npm_config_manage_package_manager_versions: 'false',
  COREPACK_ENABLE_DOWNLOAD_PROMPT: '0',
};

/** The version of pnpm that the workspace is pinned to, from `packageManager` of the root package.json. */
export function pinnedPnpm() {
  const { packageManager } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return packageManager.replace(/^pnpm@/, '').replace(/\+.*$/, '');
}

/**
 * The command that runs the pinned pnpm: the one on the PATH where it has that version, else the same version through
 * npx, which every Node brings. corepack is not used: it is absent from some installations and fails in others.
 */
export function pnpmCommand() {
  const version = pinnedPnpm();
  const found = spawnSync('pnpm', ['--version'], {
    cwd: root,
    env: environment,
    shell,
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (found.status === 0 && found.stdout.trim() === version) return ['pnpm'];
  return ['npx', '--yes', '--prefer-offline', `--package=pnpm@${version}`, 'pnpm'];
}

/**
 * Runs the pinned pnpm with `args` from the root. Each line that it prints goes to `onLine` as it comes. Returns its exit status and all that it printed.
 */
export function runPnpm(args, onLine = () => {}) {
  const [command, ...before] = pnpmCommand();
  return new Promise((done) => {
    let output = '';
    let rest = '';
    const take = (text) => {
      output += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) onLine(line.trimEnd());
    };
    const child = spawn(command, [...before, ...args], {
      cwd: root,
      env: environment,
      shell,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('error', (error) => done({ status: 1, output: `${output}${error.message}\n` }));
    child.on('close', (status) => done({ status: status ?? 1, output }));
  });
}
