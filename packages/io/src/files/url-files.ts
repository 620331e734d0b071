import { unread } from './file-errors.ts';
import { joinPath, partsOf } from './file-path.ts';
import type { ByteRange, Files, OpenFile } from './files.ts';
import { openBlob, readBlob } from './open-blob.ts';
import { firstBytes, pour } from './pour.ts';
import { accepted, makeRequest, rest, tries, type UrlOptions } from './url-request.ts';

interface Found {
  readonly size: number;
  /** Of this version of the file, where the server tells. */
  readonly tag: string | null;
}

const rangeHeader = ({ start = 0, end = Number.POSITIVE_INFINITY }: ByteRange): Record<string, string> =>
  start === 0 && end === Number.POSITIVE_INFINITY
    ? {}
    : { range: `bytes=${start}-${Number.isFinite(end) ? end - 1 : ''}` };

/** The range that the answer to a request for a part says it is: `bytes 0-7/1234`. A browser may keep that back. */
const partOf = ({ headers }: Response): { readonly start: number | null; readonly total: number | null } => {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
  return { start: start ? Number(start) : null, total: total && total !== '*' ? Number(total) : null };
};

/** Size that the answer gives its body; what is compressed has another one. */
const lengthOf = ({ headers }: Response): number | null => {
  const length = headers.get('content-length');
  return length === null || headers.has('content-encoding') ? null : Number(length);
};

/**
 * A folder at a URL, read by requests for ranges. A server that knows no ranges is asked for the whole of a file once it is opened, and that
 * is kept as long as the `Files` are. A request that fails for a moment is made again; a download that breaks off goes on where it was.
 */
export const urlFiles = (base: string | URL, options: UrlOptions = {}): Files => {
  const root = new URL(base);
  // What stands behind "?" or before "@" may be a secret.
  const name = root.origin + root.pathname;
  const request = makeRequest(options);
  const wholes = new Map<string, Promise<Blob>>();

  const nameOf = (path: string): string => joinPath(name, path);
  const urlOf = (path: string): string => {
    const url = new URL(root);
    url.pathname = joinPath(url.pathname, partsOf(name, path).map(encodeURIComponent).join('/'));
    return url.href;
  };
  const get = async (path: string, range: ByteRange): Promise<Response> => {
    const response = await request(nameOf(path), urlOf(path), 'GET', rangeHeader(range));
    // 416: the range lies behind the end.
    return response?.status === 416 ? response : accepted(nameOf(path), response);
  };
  /** Whatever a body needs, again where the network breaks off. */
  const insist = async <T>(path: string, take: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await take();
      } catch (cause) {
        const broken = unread(nameOf(path), cause);
        if (broken === cause || attempt >= tries) throw broken;
        await rest(attempt);
      }
    }
  };
  const wholeOf = (path: string, response: Response): Promise<Blob> => {
    const kept = wholes.get(path);
    if (kept) {
      void response.body?.cancel();
      return kept;
    }
    let first: Response | null = response;
    const blob = insist(path, async () => {
      const answer = first ?? (await get(path, {}));
      first = null;
      return answer.blob();
    });
    wholes.set(path, blob);
    blob.catch(() => wholes.delete(path));
    return blob;
  };

  const find = async (path: string): Promise<Found | null> => {
    const kept = await wholes.get(path);
    if (kept) return { size: kept.size, tag: null };
    const head = await request(nameOf(path), urlOf(path), 'HEAD');
    if (!head) return null;
    const length = head.ok ? lengthOf(head) : null;
    if (length !== null) return { size: length, tag: head.headers.get('etag') };
    // Some servers know no HEAD, or give it no length.
    const part = await request(nameOf(path), urlOf(path), 'GET', rangeHeader({ end: 1 }));
    if (!part) return null;
    if (part.status === 416) return { size: 0, tag: null };
    const size = partOf(part).total ?? (part.status === 200 ? lengthOf(part) : null);
    if (size === null) return { size: (await wholeOf(path, accepted(nameOf(path), part))).size, tag: null };
    await part.body?.cancel();
    return { size, tag: part.headers.get('etag') };
  };

  const fill = async (path: string, { size, tag }: Found, at: number, into: Uint8Array): Promise<number> => {
    const length = Math.max(0, Math.min(into.length, size - at));
    let done = 0;
    const more = async (): Promise<void> => {
      const response = await get(path, { start: at + done, end: at + length });
      const [part, other] = [partOf(response), response.headers.get('etag')];
      const isOther = (tag && other && other !== tag) || (part.total ?? size) !== size || response.status === 416;
      if (!isOther && response.status === 200) return void (await wholeOf(path, response));
      if (!isOther && response.status === 206 && (part.start ?? at + done) === at + done)
        return pour(response, into.subarray(done, length), (count) => {
          done += count;
        });
      await response.body?.cancel();
      const reason = isOther ? 'it is another one by now; open it again' : `the answer is of other bytes`;
      throw unread(nameOf(path), reason, at + done);
    };
    while (done < length) {
      const kept = await wholes.get(path);
      if (kept) done = await openBlob(nameOf(path), kept).read(at, into.subarray(0, length));
      if (kept) break;
      await insist(path, more);
    }
    return done;
  };

  const open = async (path: string): Promise<OpenFile> => {
    const found = await find(path);
    if (!found) accepted(nameOf(path), null);
    return { size: found!.size, read: (at, into) => fill(path, found!, at, into), close: async () => {} };
  };

  return {
    name,
    list: async () => null,
    size: async (path) => (await find(path))?.size ?? null,
    read: (path, range = {}) =>
      insist(path, async () => {
        const { start = 0, end = Number.POSITIVE_INFINITY } = range;
        const kept = await wholes.get(path);
        if (kept) return readBlob(nameOf(path), kept, { start, end: Math.min(end, kept.size) });
        const response = await get(path, range);
        if (response.status === 416) return new Uint8Array(0);
        if (response.status === 206) return firstBytes(response, end - start);
        return (await firstBytes(response, end)).slice(start);
      }),
    open,
  };
};
