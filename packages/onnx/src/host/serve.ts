import { Socket } from 'node:net';
import { isPeftError } from '@peftjs/tensor';
import { type Engine, localEngine } from '../cpu/engine.ts';
import type { Reply, Request } from './calls.ts';
import { wire } from './wire.ts';

/** Where the pipe to the other process is. */
const pipe = 3;

/**
 * The whole work of a process that `remoteEngine` has started: holds the sessions and variables of one cpu executor, for the one that
 * started it. It ends with that process, whatever ends it, and not before: a terminal's Ctrl-C goes to both, and the other may want to finish.
 */
export const serve = (): void => {
  let engine: Engine | null = null;

  const answer = async (request: Request): Promise<unknown> => {
    if (request.name === 'start') {
      engine = await localEngine(...request.args);
      return;
    }
    const method = engine![request.name] as (...args: unknown[]) => unknown;
    return method.apply(engine, request.args as unknown[]);
  };
  const reply = async (request: Request): Promise<Reply> => {
    try {
      return { id: request.id, value: await answer(request) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { id: request.id, error: message, code: isPeftError(error) ? error.code : null };
    }
  };

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  const socket = new Socket({ fd: pipe, readable: true, writable: true });
  socket.on('close', () => process.exit());
  socket.on('error', () => process.exit());
  let queue: Promise<void> = Promise.resolve();
  const { send } = wire(socket, (value) => {
    queue = queue.then(async () => send(await reply(value as Request)));
  });
};
