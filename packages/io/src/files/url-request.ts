import { missing, unread } from './file-errors.ts';

/** How requests are made. */
export interface UrlOptions {
  /** Sent with every request, such as `{ authorization: 'Bearer …' }`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** In place of the global one: for a cache, a proxy, other tries. */
  readonly fetch?: typeof fetch;
}

/** A request for a file; `who` is the file, for messages. Null where the server has none. Throws `read-failed` where no answer comes. */
export type Request = (
  who: string,
  url: string,
  method: 'GET' | 'HEAD',
  headers?: Readonly<Record<string, string>>,
) => Promise<Response | null>;

/** Times that something is asked for, at most, where the network or the server fails for a moment. */
export const tries = 4;

/** Waits before the next try: 0.2, 0.4, 0.8 s. */
export const rest = (attempt: number): Promise<void> => new Promise((done) => setTimeout(done, 100 * 2 ** attempt));

const passing: readonly number[] = [408, 429, 500, 502, 503, 504];

const answerOf = ({ status, statusText }: Response): string => `the server answers ${`${status} ${statusText}`.trim()}`;

/** Gives the answer to a GET, or throws `file-missing` for one that refuses. */
export const accepted = (who: string, response: Response | null): Response => {
  if (!response) throw missing(who, 'there is no such file');
  if (response.ok) return response;
  void response.body?.cancel();
  throw missing(who, answerOf(response));
};

/** A server for pages answers with one where it has no file. */
const isPage = (url: string, { headers }: Response): boolean =>
  /^text\/html\b/i.test(headers.get('content-type') ?? '') && !/\.html?$/i.test(new URL(url).pathname);

const isAbsent = (url: string, response: Response): boolean =>
  response.status === 404 || response.status === 410 || (response.ok && isPage(url, response));

/** Makes requests, again where the network or the server fails for a moment. */
export const makeRequest =
  ({ headers: own = {}, fetch: send = fetch }: UrlOptions): Request =>
  async (who, url, method, headers = {}) => {
    for (let attempt = 1; ; attempt++) {
      // What is compressed on the way has another length and other ranges. Browsers see to that themselves.
      const all = { 'accept-encoding': 'identity', ...own, ...headers };
      const response = await send(url, { method, headers: all }).catch((cause: unknown) => {
        // The error of a network hides its reason in its cause.
        if (attempt >= tries) throw unread(who, cause instanceof TypeError && cause.cause ? cause.cause : cause);
        return null;
      });
      if (response && !passing.includes(response.status)) {
        if (!isAbsent(url, response)) return response;
        await response.body?.cancel();
        return null;
      }
      await response?.body?.cancel();
      if (response && attempt >= tries) throw unread(who, answerOf(response));
      await rest(attempt);
    }
  };
