import { type FileIn, type FilePlace, fileAt, nameOf, type OpenFile } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

const chunk = 2 ** 18;

/** The bytes of a compressed file from its front on, one piece after the other. */
async function* unpacked(file: OpenFile, name: string): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: async (controller) => {
      const bytes = new Uint8Array(Math.min(chunk, file.size - at));
      const got = await file.read(at, bytes);
      at += got;
      if (got > 0) controller.enqueue(bytes.subarray(0, got));
      if (got < bytes.length || at >= file.size) controller.close();
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    throw new PeftError('bad-data', `${name}: is not whole, or no gzip file: ${(cause as Error).message}`, { cause });
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Reads forward in what a compressed file holds. What lies behind is reached by starting again. */
const openUnpacked = async (packed: OpenFile, name: string): Promise<OpenFile> => {
  let size = 0;
  for await (const piece of unpacked(packed, name)) size += piece.length;
  let pieces = unpacked(packed, name);
  let [start, piece] = [0, new Uint8Array(0) as Uint8Array];
  let last: Promise<unknown> = Promise.resolve();
  const fill = async (at: number, into: Uint8Array): Promise<number> => {
    if (at < start) {
      await pieces.return();
      pieces = unpacked(packed, name);
      [start, piece] = [0, new Uint8Array(0)];
    }
    let done = 0;
    while (done < into.length) {
      const from = at + done - start;
      if (from < piece.length) {
        const part = piece.subarray(from, from + into.length - done);
        into.set(part, done);
        done += part.length;
        continue;
      }
      const next = await pieces.next();
      if (next.done) break;
      start += piece.length;
      piece = next.value;
    }
    return done;
  };
  return {
    size,
    isSequential: true,
    ...(packed.version !== undefined && { version: packed.version }),
    read: (at, into) => {
      const run = last.then(() => fill(at, into));
      last = run.catch(() => {});
      return run;
    },
    close: async () => {
      await pieces.return();
      await packed.close();
    },
  };
};

/**
 * A gzip file as the file that it holds, for every reader: `jsonl(await gunzip('train.jsonl.gz'))`. Nothing of it is kept, so opening it unpacks it once
 * to know its size, and resuming unpacks again what lies before. `shuffle` takes it as one block. Errors are those of the file, and
 * `bad-data` for what is no gzip.
 */
export const gunzip = async (place: FilePlace): Promise<FileIn> => {
  const packed = await fileAt(place);
  const { files, path } = packed;
  return {
    files: {
      ...files,
      open: async (other) => {
        const file = await files.open(other);
        if (other !== path) return file;
        try {
          return await openUnpacked(file, nameOf(packed));
        } catch (cause) {
          await file.close();
          throw cause;
        }
      },
    },
    path,
  };
};
