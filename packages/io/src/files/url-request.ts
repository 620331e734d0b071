import { isPeftError } from '@peftjs/tensor';
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

/** Milliseconds that a server may ask to wait, at most. */
const longest = 300_000;

/** Milliseconds that a server asks to wait before the next try; null where it does not say. */
const askedWait = ({ headers }: Response): number | null => {
  // In place of the one that all know, Hugging Face's hub has that of draft-ietf-httpapi-ratelimit-headers: none remain, for t seconds.
  const limit = /;\s*r=0\s*;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  const text = headers.get('retry-after')?.trim() || limit;
  if (!text) return null;
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? null : Math.max(0, wait);
};

/** Whether a request is made again after so many: not where the server asks to wait longer than anybody would. */
export const again = (attempt: number, response?: Response | null): boolean =>
  attempt < tries && ((response && askedWait(response)) ?? 0) <= longest;

/** Waits before the next try: as long as the server asks, or 0.2, 0.4, 0.8 s. */
export const rest = (attempt: number, response?: Response | null): Promise<void> =>
  new Promise((done) => setTimeout(done, (response && askedWait(response)) ?? 100 * 2 ** attempt));

/** Answers that may be others a moment later. */
export const passing: readonly number[] = [408, 429, 500, 502, 503, 504];

/** An answer that refuses, in words. */
export const answerOf = (response: Response): string => {
  const { status, statusText } = response;
  const wait = askedWait(response);
  const until = wait === null ? '' : `, and asks to wait ${Math.ceil(wait / 1000)} s`;
  return `the server answers ${`${status} ${statusText}`.trim()}${until}`;
};

/** The reason of a request that got no answer: the error of a network hides it in its cause. */
export const networkReason = (error: unknown): unknown =>
  error instanceof TypeError && error.cause ? error.cause : error;

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
        if (attempt >= tries || isPeftError(cause)) throw unread(who, networkReason(cause));
        return null;
      });
      if (response && !passing.includes(response.status)) {
        if (!isAbsent(url, response)) return response;
        await response.body?.cancel();
        return null;
      }
      await response?.body?.cancel();
      if (response && !again(attempt, response)) throw unread(who, answerOf(response));
      await rest(attempt, response);
    }
  };
