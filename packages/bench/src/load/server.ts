import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** A server in a process of its own. */
export interface Server {
  readonly port: number;
  /** Seconds from its start until it listened. */
  readonly startSeconds: number;
  /** Memory that it and its processes have resident, in bytes. */
  resident(): number;
  /** Ends it as a power cut would, and resolves when it is gone; gives how many of its processes outlive it by two seconds. */
  kill(): Promise<number>;
  /** Asks for its end; resolves to its exit code. */
  stop(): Promise<number | null>;
}

const childrenOf = (pid: number): number[] => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
};

const familyOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(familyOf)];

const residentOf = (pid: number): number => {
  try {
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
};

const isAlive = (pid: number): boolean => residentOf(pid) > 0;

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((done) => void child.once('exit', (code) => done(code)));

/** The program that is served: the command itself, from its sources. */
const program = `import { main } from '@peftjs/cli'; process.exitCode = await main(process.argv.slice(1));`;

/** Starts `peftjs serve` over adapters. Throws, with what it said, where it ends before it listens. */
export const startServer = async (
  adapters: readonly string[],
  { port, rows }: { readonly port: number; readonly rows: number },
): Promise<Server> => {
  const started = performance.now();
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const child = spawn(
    process.execPath,
    [
      ...['--conditions=@peftjs/source', '--import', tsx, '--input-type=module', '-e', program, '--'],
      ...['serve', ...adapters, '--device', 'cpu'],
      ...['--port', String(port), '--rows', String(rows)],
    ],
    { cwd: new URL('../../../cli', import.meta.url), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  const listens = new Promise<number>((done, failed) => {
    child.stderr!.on('data', (piece) => {
      said += piece;
      const found = /:(\d+)\/v1/.exec(said);
      if (found) done(Number(found[1]));
    });
    child.once('exit', () => failed(new Error(`the server has ended: ${said}`)));
  });
  const own = await listens;
  const pid = child.pid!;
  return {
    port: own,
    startSeconds: (performance.now() - started) / 1000,
    resident: () => familyOf(pid).reduce((sum, one) => sum + residentOf(one), 0),
    kill: async () => {
      const family = familyOf(pid).filter((one) => one !== pid);
      child.kill('SIGKILL');
      await ended(child);
      await new Promise((go) => setTimeout(go, 2000));
      return family.filter(isAlive).length;
    },
    stop: () => {
      child.kill('SIGTERM');
      return ended(child);
    },
  };
};
