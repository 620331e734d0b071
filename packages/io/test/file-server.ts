import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

/** How a server of files behaves. */
export interface ServerOptions {
  /** Whether it answers requests for ranges with ranges. Default true. */
  readonly ranges?: boolean;
  /** Whether it knows HEAD. Default true. */
  readonly head?: boolean;
  /** Whether it tells lengths. Default true. */
  readonly lengths?: boolean;
  /** Called before each answer; true if it has answered itself. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** A server on this machine, and what it was asked. */
export interface FileServer {
  readonly url: string;
  /** Its files by path, to be changed as one likes. */
  readonly files: Map<string, Uint8Array>;
  readonly requests: readonly string[];
  /** Bytes of bodies sent so far. */
  readonly sent: number;
}

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const tagOf = (bytes: Uint8Array): string => `"${bytes.length}-${bytes.reduce((a, b) => (a * 31 + b) >>> 0, 7)}"`;

/** Serves files until the end of the test. */
export const serveFiles = async (
  files: ReadonlyMap<string, Uint8Array | string>,
  { ranges = true, head = true, lengths = true, intercept = () => false }: ServerOptions = {},
): Promise<FileServer> => {
  const content = new Map([...files].map(([path, bytes]) => [path, Buffer.from(bytes as Uint8Array)]));
  const requests: string[] = [];
  let sent = 0;
  const send = (response: ServerResponse, status: number, headers: Record<string, string>, bytes: Uint8Array): void => {
    response.writeHead(status, lengths ? { ...headers, 'content-length': String(bytes.length) } : headers);
    if (response.req.method === 'HEAD') return void response.end();
    sent += bytes.length;
    response.end(bytes);
  };
  const server = createServer((request, response) => {
    const { method, headers } = request;
    requests.push(`${method} ${request.url} ${headers.range ?? ''}`.trim());
    if (intercept(request, response)) return;
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname).slice('/folder/'.length);
    const bytes = content.get(path);
    if (method === 'HEAD' && !head) return send(response, 405, {}, new Uint8Array(0));
    if (!bytes) return send(response, 404, {}, Buffer.from('none'));
    const range = ranges ? /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') : null;
    const etag = tagOf(bytes);
    if (!range) return send(response, 200, { etag }, bytes);
    const [start, end] = [Number(range[1]), range[2] ? Number(range[2]) + 1 : bytes.length];
    if (start >= bytes.length) return send(response, 416, {}, Buffer.from('beyond'));
    const part = bytes.subarray(start, end);
    const says = `bytes ${start}-${start + part.length - 1}/${bytes.length}`;
    send(response, 206, { etag, 'content-range': says }, part);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  stops.push(
    () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  );
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/folder`,
    files: content,
    requests,
    get sent() {
      return sent;
    },
  };
};
