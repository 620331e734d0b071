import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Done, parseLine, type Ready } from './protocol.ts';

/** How a child is started. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A running child. */
export interface Session {
  readonly ready: Ready;
  /** From the start of the process until the task was set up. */
  readonly startMs: number;
  /** Runs so many times, or until so much time has passed; at least once. */
  run(times: number, seconds: number): Promise<Done>;
  close(): Promise<void>;
}

const lastWords = (text: string): string => text.trim().split('\n').slice(-40).join('\n') || 'it said nothing';

/** Starts a child and waits until its task is set up. Throws with its last words when it ends early or takes longer than `limitMs`. */
export const openSession = async ({ file, args, env }: Command, limitMs: number): Promise<Session> => {
  const started = performance.now();
  const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let words = '';
  const note = (text: string): void => {
    words = (words + text).slice(-4000);
  };
  child.stderr.setEncoding('utf8').on('data', note);
  // A child that has ended is told of by `ended`.
  child.stdin.on('error', () => {});
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}:\n${lastWords(words)}`));
  });

  let answer: (message: Ready | Done) => void = () => {};
  createInterface({ input: child.stdout }).on('line', (text) => {
    const message = parseLine(text);
    if (message) answer(message);
    else note(`${text}\n`);
  });
  const next = (): Promise<Ready | Done> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`it took longer than ${Math.round(limitMs / 1000)} s`));
      }, limitMs);
      answer = (message) => {
        clearTimeout(timer);
        resolve(message);
      };
      void ended.then((why) => {
        clearTimeout(timer);
        reject(new Error(why));
      });
    });

  // Pools of threads of some stacks wait by spinning; stopped between its turns, a stack takes no core from another's. Windows cannot stop one.
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => {
    if (process.platform !== 'win32') child.kill(name);
  };
  const ready = (await next()) as Ready;
  signal('SIGSTOP');
  return {
    ready,
    startMs: performance.now() - started,
    run: async (times, seconds) => {
      signal('SIGCONT');
      const done = next() as Promise<Done>;
      child.stdin.write(`run ${times} ${seconds}\n`);
      const result = await done;
      signal('SIGSTOP');
      return result;
    },
    close: async () => {
      signal('SIGCONT');
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(timer);
    },
  };
};
