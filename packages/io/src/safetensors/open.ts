import { type FileHandle, open, stat } from 'node:fs/promises';
import { PeftError } from '@peftjs/tensor';
import { listed, reasonOf } from '../report.ts';
import { bytesOfArray, requireLittleEndian } from './dtype.ts';
import { type Header, maxHeaderBytes, parseHeader } from './header.ts';
import { type TensorReader, tensorReader } from './reader.ts';

const lengthBytes = 8;
const longestRead = 2 ** 30;

/**
 * Opens a safetensors file. Only its header is read, and checked in full against the size of the file; tensors are read
 * when asked for. Close it, or declare it with `await using`.
 *
 * Throws `PeftError`: `file-missing` where the file cannot be opened, `bad-safetensors` with all problems of the header.
 *
 * Format: u64 header length, JSON header, data; little-endian. https://github.com/huggingface/safetensors
 */
export const openSafetensors = async (path: string): Promise<TensorReader> => {
  requireLittleEndian(path);
  const handle = await openFile(path);
  try {
    const header = await readHeader(path, handle);
    const fill = (target: ArrayBufferView, position: number) => readExactly(path, handle, target, position);
    return tensorReader(path, header, fill, () => handle.close());
  } catch (error) {
    await handle.close();
    throw error;
  }
};

const openFile = async (path: string): Promise<FileHandle> => {
  try {
    // Opening a named pipe would wait for ever, so what it is comes first.
    if (!(await stat(path)).isFile()) throw new Error('it is not a file');
    return await open(path, 'r');
  } catch (cause) {
    throw new PeftError('file-missing', `${path}: cannot be opened: ${reasonOf(cause)}. Check the path.`, { cause });
  }
};

const readHeader = async (path: string, handle: FileHandle): Promise<Header> => {
  const fileBytes = (await handle.stat()).size;
  const problems: string[] = [];
  const headerBytes = fileBytes < lengthBytes ? 0 : await readLength(path, handle);
  const dataStart = lengthBytes + headerBytes;
  if (fileBytes < lengthBytes)
    problems.push(`it has ${fileBytes} bytes, fewer than the ${lengthBytes} of the header length`);
  else if (headerBytes > maxHeaderBytes)
    problems.push(`it claims a header of ${headerBytes} bytes; at most ${maxHeaderBytes} are allowed`);
  else if (dataStart > fileBytes)
    problems.push(
      `it claims a header of ${headerBytes} bytes and has ${fileBytes} in all: it is cut off or no safetensors file`,
    );
  else {
    const bytes = new Uint8Array(headerBytes);
    await readExactly(path, handle, bytes, lengthBytes);
    const header = parseHeader(bytes, dataStart, fileBytes - dataStart, problems);
    if (problems.length === 0) return header;
  }
  throw new PeftError(
    'bad-safetensors',
    `${path}: is not a sound safetensors file:${listed(problems)}\nDownload or write it again.`,
  );
};

/** The header length may exceed 2^53; as a number it is then rounded and still far too large. */
const readLength = async (path: string, handle: FileHandle): Promise<number> => {
  const length = new BigUint64Array(1);
  await readExactly(path, handle, length, 0);
  return Number(length[0]);
};

const readExactly = async (
  path: string,
  handle: FileHandle,
  target: ArrayBufferView,
  position: number,
): Promise<void> => {
  const bytes = bytesOfArray(target);
  for (let done = 0; done < bytes.length; ) {
    const wanted = Math.min(bytes.length - done, longestRead);
    const { bytesRead } = await handle.read(bytes, done, wanted, position + done).catch((cause: unknown) => {
      throw new PeftError(
        'bad-safetensors',
        `${path}: reading at byte ${position + done} failed: ${reasonOf(cause)}.`,
        { cause },
      );
    });
    if (bytesRead === 0)
      throw new PeftError(
        'bad-safetensors',
        `${path}: ends at byte ${position + done}; it was cut after it was opened. Open it again.`,
      );
    done += bytesRead;
  }
};
