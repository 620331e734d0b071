import { PeftError } from '@peftjs/tensor';

/** Values of JSON by name. */
export type Fields = Readonly<Record<string, unknown>>;

/** A question to a server, answered in JSON. Throws `read-failed` where the server is silent for 30 seconds or refuses. */
export type Ask = (method: 'GET' | 'POST', path: string, body?: object) => Promise<Fields>;

/** Asks the server at an address in the name of `who`, each time with the header `authorization` if there is one. */
export const asker = (who: string, url: string, authorization: string | undefined): Ask => {
  const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) };
  return async (method, path, body) => {
    const address = `${url.replace(/\/+$/, '')}/${path}`;
    let answer: Response;
    try {
      answer = await fetch(address, {
        method,
        headers,
        signal: AbortSignal.timeout(30_000),
        ...(body && { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new PeftError('read-failed', `${who}: ${address} doesn't answer; start the server or give its address`, {
        cause,
      });
    }
    const text = await answer.text();
    if (answer.ok) return text === '' ? {} : (JSON.parse(text) as Fields);
    throw new PeftError('read-failed', `${who}: ${address} answers ${answer.status}: ${text.slice(0, 300)}`);
  };
};

/**
 * A queue of what waits to be sent, up to `most` in a message. Its `send` throws nothing: a log must not end a run. That things wait is said once on
 * stderr, and they are sent with the next ones.
 */
export const sendingQueue = <T>(
  most: number,
  sendAll: (values: readonly T[]) => Promise<unknown>,
): {
  readonly length: number;
  add(...values: readonly T[]): void;
  send(): Promise<void>;
} => {
  let queue: T[] = [];
  let isTold = false;
  return {
    get length() {
      return queue.length;
    },
    add: (...values) => void queue.push(...values),
    send: async () => {
      try {
        while (queue.length > 0) {
          await sendAll(queue.slice(0, most));
          queue = queue.slice(most);
        }
        isTold = false;
      } catch (error) {
        if (!isTold) console.error(`${(error as Error).message}; numbers of the run wait until it does`);
        isTold = true;
      }
    },
  };
};
