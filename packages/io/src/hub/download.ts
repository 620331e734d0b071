import type { FileHandle } from 'node:fs/promises';
import { isPeftError, PeftError } from '@peftjs/tensor';
import { unread, unwritten } from '../files/file-errors.ts';
import { joinPath } from '../files/file-path.ts';
import { fromNode } from '../files/from-node.ts';
import { bodyOf } from '../files/pour.ts';
import { type Sha256, sha256 } from '../files/sha256.ts';
import { networkReason, rest, tries } from '../files/url-request.ts';
import { ask } from './ask.ts';
import type { FileFacts } from './file-facts.ts';
import type { HubProgress } from './hub-files.ts';
import type { HubPlace } from './hub-place.ts';
import { claimPart } from './part.ts';
import { refusal } from './refusal.ts';
import type { Hub } from './settings.ts';
import { filePath } from './snapshot.ts';

const { mkdir, open, rename, statfs } = fromNode('node:fs/promises');
const { join } = fromNode('node:path');

/** A file of the hub that is wanted. */
export interface Wanted extends FileFacts {
  readonly place: HubPlace;
  readonly commit: string;
  readonly path: string;
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
}

/** Bytes after which a connection that breaks off is not counted as a failure. */
const worthwhile = 2 ** 20;

const chunk = 2 ** 20;

const kept = 'What has come of it is kept';

/** The bytes that have come of a file, on the disk. */
interface Received {
  readonly handle: FileHandle;
  hash: Sha256;
  bytes: number;
  /** The error of whoever is told of the progress, if that threw one. */
  stop: { readonly error: unknown } | null;
}

const reset = async (received: Received): Promise<void> => {
  await received.handle.truncate(0);
  received.hash = sha256();
  received.bytes = 0;
};

/** Takes up what a part holds. */
const takeUp = async (handle: FileHandle): Promise<Received> => {
  const [hash, buffer] = [sha256(), new Uint8Array(chunk)];
  let bytes = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, chunk, bytes);
    if (bytesRead === 0) return { handle, hash, bytes, stop: null };
    hash.update(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
  }
};

/** Throws `write-failed` where a disk has not as many bytes left. */
const checkRoom = async (folder: string, bytes: number): Promise<void> => {
  const disk = await statfs(folder).catch(() => null);
  if (!disk || disk.bavail * disk.bsize >= bytes) return;
  const megabytes = (n: number): string => `${Math.ceil(n / 1e6).toLocaleString('en')} MB`;
  throw new PeftError(
    'write-failed',
    `${folder}: ${megabytes(bytes)} are to be downloaded, and the disk has ${megabytes(disk.bavail * disk.bsize)} left. Make room, or say another folder by HF_HUB_CACHE.`,
  );
};

/** Asks for what is still to come, and writes it. Throws where the connection breaks off. */
const receive = async (hub: Hub, wanted: Wanted, received: Received): Promise<void> => {
  const { place, commit, path, size, onProgress } = wanted;
  const who = joinPath(place.name, path);
  const tell = (): void => {
    try {
      onProgress?.({ file: path, received: received.bytes, total: size });
    } catch (error) {
      received.stop = { error };
      throw error;
    }
  };
  const from = received.bytes;
  const answer = await ask(hub, who, {
    path: filePath(place, commit, path),
    headers: from > 0 ? { range: `bytes=${from}-` } : {},
  });
  const { response } = answer;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  const isRest = response.status === 206 && Number(range?.[1]) === from && [String(size), '*'].includes(range![2]!);
  if (from > 0 && !isRest) {
    // A server that knows no ranges, or has other bytes, begins again.
    await reset(received);
    if (response.status === 206 || response.status === 416) {
      await response.body?.cancel();
      return receive(hub, wanted, received);
    }
  }
  if (!response.ok) throw refusal(hub, place, path, answer);
  tell();
  for await (const piece of bodyOf(response)) {
    received.hash.update(piece);
    const { bytesWritten } = await received.handle
      .write(piece, 0, piece.length, received.bytes)
      .catch((cause: unknown) => {
        throw unwritten(who, cause, kept);
      });
    if (bytesWritten < piece.length) throw unwritten(who, new Error('the disk is full'), kept);
    received.bytes += piece.length;
    tell();
    if (size !== null && received.bytes > size) throw unread(who, new Error(`more than its ${size} bytes come`));
  }
  if (size !== null && received.bytes < size)
    throw new Error(`the answer ends after ${received.bytes} of ${size} bytes`);
};

/** Receives until all is there. */
const receiveAll = async (hub: Hub, wanted: Wanted, received: Received): Promise<void> => {
  for (let failures = 0; ; ) {
    const before = received.bytes;
    try {
      if (wanted.size === null || received.bytes < wanted.size || wanted.size === 0)
        await receive(hub, wanted, received);
      return;
    } catch (cause) {
      if (received.stop) throw cause;
      failures = received.bytes - before >= worthwhile ? 1 : failures + 1;
      if (isPeftError(cause) || failures >= tries)
        throw unread(joinPath(wanted.place.name, wanted.path), networkReason(cause));
      await rest(failures);
    }
  }
};

/** Whether the bytes are those that the hub tells of. */
const isSound = async ({ sha256: wanted }: Wanted, { hash }: Received): Promise<boolean> =>
  wanted === null || (await hash.digest()) === wanted;

/**
 * Downloads a file into a cache, under the name of its bytes, which it gets once it is whole, checked and on the disk. A connection that breaks off is taken up where it was, and so is
 * what an earlier download has left, if the hub tells a checksum. Throws `read-failed`, `write-failed`, and as `refusal` says; what `onProgress` throws ends it.
 */
export const download = async (hub: Hub, wanted: Wanted, blobs: string): Promise<void> => {
  const { etag, size, place, path, sha256: checksum } = wanted;
  const who = joinPath(place.name, path);
  try {
    await mkdir(blobs, { recursive: true });
  } catch (cause) {
    throw unwritten(blobs, cause);
  }
  const part = await claimPart(blobs, etag);
  let isKept = checksum !== null;
  let received: Received | null = null;
  try {
    const handle = await open(part.path, 'a+').then(async (made) => {
      await made.close();
      return open(part.path, 'r+');
    });
    try {
      received = await takeUp(handle);
      // Nothing would tell that what was left is of another file.
      if (!isKept || (size !== null && received.bytes > size)) await reset(received);
      await checkRoom(blobs, Math.max(0, (size ?? 0) - received.bytes));
      const isTakenUp = received.bytes > 0;
      await receiveAll(hub, wanted, received);
      let isWhole = await isSound(wanted, received);
      if (!isWhole && isTakenUp) {
        await reset(received);
        await receiveAll(hub, wanted, received);
        isWhole = await isSound(wanted, received);
      }
      if (!isWhole) {
        isKept = false;
        throw unread(who, new Error(`its SHA-256 is not ${checksum}, which the hub tells: other bytes have come`));
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part.path, join(blobs, etag));
  } catch (cause) {
    await (isKept ? part.leave() : part.remove());
    if (received?.stop) throw cause;
    throw unwritten(join(blobs, etag), cause);
  }
};
