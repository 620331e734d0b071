import { execFile } from 'node:child_process';
import { paths } from '../src/paths.ts';

/** What a program said and how it ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the bench as its users do, without any peer. */
export const bench = (...args: string[]): Promise<Outcome> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--conditions=@peftjs/source', '--import', 'tsx', `${paths.source}/main.ts`, ...args],
      { env: { ...process.env, PEFTJS_BENCH_PEERS: '/nonexistent' } },
      (error, stdout, stderr) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
