import { execFile } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The root of the workspace. */
export const root: string = fileURLToPath(new URL('../../..', import.meta.url));

// The tools of the workspace, pnpm among them, are found whoever started the tests.
const path = [join(root, 'node_modules', '.bin'), process.env['PATH']].join(delimiter);

/** Runs a program and gives its stdout. Throws with all that it printed where it fails. `more`: variables of its environment. */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  // What Vitest and npm tell their children must not reach a user's program.
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|VITEST|PEFTJS_|NODE_(ENV|OPTIONS)|TEST$|DEV$|PROD$)/.test(name),
  );
  const env = { ...Object.fromEntries(kept), PATH: path, CI: 'true', TURBO_TELEMETRY_DISABLED: '1', ...more };
  const options = { cwd, env, maxBuffer: 1 << 26, shell: process.platform === 'win32' && command !== process.execPath };
  try {
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed in ${cwd}:\n${stdout}${stderr}`, { cause });
  }
}

/** Runs a script in plain Node, with no loader and no condition. Gives its stdout. */
export const runNode = (script: string, cwd: string, ...args: readonly string[]): Promise<string> =>
  run(process.execPath, [script, ...args], cwd);
