import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a run of the demo ended. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** Starts the demo as a user would; `onLine` sees its progress, and may kill it. */
export const runDemoCli = (
  args: readonly string[],
  onProgress?: (text: string, kill: (signal?: NodeJS.Signals) => void) => void,
): Promise<Run> =>
  new Promise((done) => {
    const child = spawn(process.execPath, ['--conditions=@peftjs/source', '--import', 'tsx', main, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (piece: string) => void (text.stdout += piece));
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      text.stderr += piece;
      onProgress?.(text.stderr, (signal = 'SIGKILL') => child.kill(signal));
    });
    child.on('close', (code) => done({ code, ...text }));
  });
