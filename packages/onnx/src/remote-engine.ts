import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { pathToFileURL } from 'node:url';
import { PeftError, type PeftErrorCode } from '@peftjs/tensor';
import type { Engine } from './cpu/engine.ts';
import type { Call, Reply } from './host/calls.ts';
import { wire } from './host/wire.ts';

/** Arguments of Node that start a host: as it is built, or from its source where this file is one. */
const hostArguments = (): readonly string[] => {
  const fromSource = import.meta.url.endsWith('.ts');
  const host = new URL(fromSource ? './host.ts' : './host.js', import.meta.url).href;
  const program = ['--input-type=module', '--eval', `import { serve } from ${JSON.stringify(host)}; serve();`];
  if (!fromSource) return program;
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return ['--conditions=@peftjs/source', '--import', loader, ...program];
};

/** The hosts of this process: they are not to outlive it by the run they are in. */
const hosts = new Set<ChildProcess>();
const endAll = (): void => {
  for (const host of hosts) host.kill('SIGKILL');
};

const start = (): ChildProcess => {
  const host = spawn(process.execPath, hostArguments(), {
    // Duplex, and on Windows one that can be read and written at once.
    stdio: ['ignore', 'ignore', 'inherit', 'overlapped'],
    // Whatever thread starts it: here it reaches the environment that native code reads.
    env: { ...process.env, ORT_DISABLE_TELEMETRY: process.env['ORT_DISABLE_TELEMETRY'] || '1' },
    windowsHide: true,
  });
  if (hosts.size === 0) process.once('exit', endAll);
  hosts.add(host);
  host.once('close', () => {
    hosts.delete(host);
    if (hosts.size === 0) process.off('exit', endAll);
  });
  return host;
};

interface Waiting {
  resolve(value: unknown): void;
  reject(error: PeftError): void;
}

/** Calls to a host, answered in order. A host that has ended answers all with `device-lost`. */
class Host {
  readonly #process = start();
  readonly #socket = this.#process.stdio[3] as Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #send: (value: unknown) => void;
  readonly ended: Promise<void>;
  #next = 0;
  #ending = false;
  #lost: PeftError | null = null;

  constructor() {
    this.#send = wire(this.#socket, (value) => this.#receive(value as Reply)).send;
    // What a write says of a host that has ended, its end says as well.
    this.#socket.on('error', () => {});
    this.ended = new Promise((resolve) => {
      const end = (why: string, cause?: unknown): void => {
        this.#lost ??= new PeftError('device-lost', `cpu: the process that computes ${why}; make a new executor`, {
          cause,
        });
        for (const { reject } of this.#waiting.values()) reject(this.#lost);
        this.#waiting.clear();
        this.#ending = false;
        this.#hold();
        resolve();
      };
      this.#process.once('error', (cause) => end(`could not be started: ${cause.message}`, cause));
      this.#process.once('exit', (code, signal) => end(`has ended (${signal ?? `exit code ${code}`})`));
    });
    this.#hold();
  }

  /** This process stays alive for the host's sake only while it is to answer. */
  #hold(): void {
    const what = this.#waiting.size > 0 || this.#ending ? 'ref' : 'unref';
    this.#process[what]();
    this.#socket?.[what]();
  }

  #receive(reply: Reply): void {
    const { resolve, reject } = this.#waiting.get(reply.id)!;
    this.#waiting.delete(reply.id);
    this.#hold();
    if ('value' in reply) resolve(reply.value);
    else
      reject(reply.code ? new PeftError(reply.code as PeftErrorCode, reply.error) : (new Error(reply.error) as never));
  }

  call(call: Call): Promise<unknown> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#hold();
      this.#send({ ...call, id });
    });
  }

  /** Ends the host once it has done what it was asked. */
  async end(): Promise<void> {
    this.#ending = true;
    this.#hold();
    this.#socket.end();
    await this.ended;
  }
}

/** Makes an engine in a process of its own. Throws `device-unavailable`. */
export const remoteEngine = async (threads: number): Promise<Engine> => {
  const host = new Host();
  const call = <T>(name: Call['name'], ...args: readonly unknown[]): Promise<T> =>
    host.call({ name, args } as unknown as Call) as Promise<T>;
  /** Of calls that nobody waits for: where the host has ended, the next one that somebody waits for says so. */
  const tell = (name: Call['name'], ...args: readonly unknown[]): void => void call(name, ...args).catch(() => {});
  await call('start', threads).catch((cause: PeftError) => {
    throw new PeftError('device-unavailable', cause.message, { cause });
  });
  return {
    multipliesBits: () => call('multipliesBits'),
    open: (recipe) => call('open', recipe),
    run: (program, feeds, read) => call('run', program, feeds, read),
    profile: (recipe, feeds) => call('profile', recipe, feeds),
    close: (program) => tell('close', program),
    put: (key, data, owned) => call('put', key, data, owned),
    get: (key) => call('get', key),
    release: (keys) => tell('release', keys),
    end: () => host.end(),
  };
};
