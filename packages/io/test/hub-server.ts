import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

/** How a hub behaves. */
export interface HubServerOptions {
  /** Paths whose bytes lie on a second server. Default: `*.bin` and `*.safetensors`. */
  readonly large?: RegExp;
  /** Called before each answer of the hub; true if it has answered itself. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** The same of the second server. */
  readonly interceptStore?: (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => boolean;
  /** The paths that it claims to have. Default: those of its files. */
  readonly claims?: readonly string[];
}

/** A hub on this machine with one repository, `org/model`, and what it was asked. */
export interface HubServer {
  readonly endpoint: string;
  /** The commit of `main`. */
  readonly commit: string;
  readonly requests: readonly string[];
  /** What the second server was asked. */
  readonly stored: readonly string[];
  /** Tokens that the second server was shown. */
  readonly leaked: readonly string[];
}

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const listen = async (listener: RequestListener): Promise<string> => {
  const server: Server = createServer(listener);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  stops.push(
    () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** The name that git gives to bytes. */
export const gitName = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** Sends bytes, or the range of them that is asked for. */
export const sendBytes = (
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  own: Record<string, string>,
): void => {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const part = bytes.subarray(start, to ? Number(to) + 1 : bytes.length);
  if (from !== undefined && start >= bytes.length) return void response.writeHead(416).end();
  const range = { 'content-range': `bytes ${start}-${start + part.length - 1}/${bytes.length}` };
  response.writeHead(from === undefined ? 200 : 206, {
    ...own,
    'content-length': String(part.length),
    ...(from !== undefined && range),
  });
  response.end(method === 'HEAD' ? undefined : part);
};

/** An answer that refuses, as the hub gives it. */
export const refuse = (response: ServerResponse, status: number, code = '', message = ''): true => {
  response.writeHead(status, { ...(code && { 'x-error-code': code }), ...(message && { 'x-error-message': message }) });
  response.end();
  return true;
};

/** Serves a repository as the hub does until the end of the test: large files by a redirect to another server, small ones itself. */
export const serveHub = async (
  files: ReadonlyMap<string, Uint8Array | string>,
  {
    large = /\.(bin|safetensors)$/,
    intercept = () => false,
    interceptStore = () => false,
    claims,
  }: HubServerOptions = {},
): Promise<HubServer> => {
  const content = new Map([...files].map(([path, bytes]) => [path, Buffer.from(bytes as Uint8Array)]));
  const commit = createHash('sha1')
    .update([...content.keys()].join())
    .digest('hex');
  const [requests, stored, leaked]: string[][] = [[], [], []];
  const said = ({ method, url, headers }: IncomingMessage): string => `${method} ${url} ${headers.range ?? ''}`.trim();
  const store = await listen((request, response) => {
    stored!.push(said(request));
    if (request.headers.authorization) leaked!.push(request.headers.authorization);
    const bytes = content.get(decodeURIComponent(request.url!.slice(1)))!;
    if (!interceptStore(request, response, bytes)) sendBytes(request, response, bytes, { etag: '"of the store"' });
  });
  const endpoint = await listen((request, response) => {
    requests!.push(said(request));
    if (intercept(request, response)) return;
    const [, revision, path] =
      /^\/org\/model\/resolve\/([^/]+)\/(.+)$/.exec(request.url!)?.map(decodeURIComponent) ??
      /^\/api\/models\/org\/model\/revision\/([^/]+)$/.exec(request.url!) ??
      [];
    if (revision === undefined) return void refuse(response, 401, '', 'Invalid username or password.');
    if (revision !== 'main' && revision !== commit) return void refuse(response, 404, 'RevisionNotFound');
    if (path === undefined) {
      const siblings = (claims ?? [...content.keys()]).map((rfilename) => ({ rfilename }));
      return void response.end(JSON.stringify({ id: 'org/model', sha: commit, siblings }));
    }
    const bytes = content.get(path);
    if (!bytes) return void refuse(response, 404, 'EntryNotFound');
    const own = { 'x-repo-commit': commit };
    if (!large.test(path)) return sendBytes(request, response, bytes, { ...own, etag: `"${gitName(bytes)}"` });
    response.writeHead(302, {
      ...own,
      location: `${store}/${encodeURIComponent(path)}`,
      'x-linked-etag': `"${sha256Of(bytes)}"`,
      'x-linked-size': String(bytes.length),
    });
    response.end();
  });
  return { endpoint, commit, requests: requests!, stored: stored!, leaked: leaked! };
};
