import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

/** A site on this machine: folders by the start of their paths. */
export interface Site {
  readonly url: string;
  /** Paths that were asked for, with the ranges. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
};

/** Serves folders as a web server does, with ranges. */
export const serveSite = async (folders: Readonly<Record<string, string>>): Promise<Site> => {
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://site').pathname);
    requests.push(`${request.method} ${path} ${request.headers.range ?? ''}`.trim());
    const start = Object.keys(folders).find((prefix) => path.startsWith(prefix));
    const file = start && join(folders[start]!, normalize(path.slice(start.length) || 'index.html'));
    const found = file ? await stat(file).catch(() => null) : null;
    if (!file || !found?.isFile()) return void response.writeHead(404).end();
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const first = range ? Number(range[1]) : 0;
    const last = Math.min(range?.[2] ? Number(range[2]) : Number.POSITIVE_INFINITY, found.size - 1);
    response.writeHead(range ? 206 : 200, {
      'content-type': types[extname(file)] ?? 'application/octet-stream',
      'content-length': last - first + 1,
      ...(range && { 'content-range': `bytes ${first}-${last}/${found.size}` }),
    });
    if (request.method === 'HEAD') return void response.end();
    createReadStream(file, { start: first, end: last }).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
};
