import { PeftError } from '@peftjs/tensor';
import type { FilePlace, OpenFile } from '../files/files.ts';
import { fileAt, nameOf } from '../files/place.ts';
import { listed } from '../report.ts';
import { bytesOfArray, requireLittleEndian } from './dtype.ts';
import { type Header, maxHeaderBytes, parseHeader, type TensorInfo } from './header.ts';
import { type TensorReader, tensorReader } from './reader.ts';

const lengthBytes = 8;

/**
 * Opens a safetensors file: a path on disk, a URL, or a path in `Files`. Only its header is read, and checked in full against the size of the file; tensors are read
 * when asked for. Close it, or declare it with `await using`.
 *
 * Throws `PeftError`: `file-missing` where the file cannot be opened, `bad-safetensors` with all problems of the header.
 *
 * Format: u64 header length, JSON header, data; little-endian. https://github.com/huggingface/safetensors
 */
export const openSafetensors = async (place: FilePlace): Promise<TensorReader> => {
  const at = await fileAt(place);
  const name = nameOf(at);
  requireLittleEndian(name);
  const file = await at.files.open(at.path);
  try {
    const header = await readHeader(name, file);
    const fill = (target: ArrayBufferView, { start }: TensorInfo, offset = 0) =>
      readExactly(name, file, target, start + offset);
    return tensorReader(name, header, fill, () => file.close());
  } catch (error) {
    await file.close();
    throw error;
  }
};

const readHeader = async (path: string, file: OpenFile): Promise<Header> => {
  const fileBytes = file.size;
  const problems: string[] = [];
  const headerBytes = fileBytes < lengthBytes ? 0 : await readLength(path, file);
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
    await readExactly(path, file, bytes, lengthBytes);
    const header = parseHeader(bytes, dataStart, fileBytes - dataStart, problems);
    if (problems.length === 0) return header;
  }
  throw new PeftError(
    'bad-safetensors',
    `${path}: is not a sound safetensors file:${listed(problems)}\nDownload or write it again.`,
  );
};

/** The header length may exceed 2^53; as a number it is then rounded and still far too large. */
const readLength = async (path: string, file: OpenFile): Promise<number> => {
  const length = new BigUint64Array(1);
  await readExactly(path, file, length, 0);
  return Number(length[0]);
};

const readExactly = async (path: string, file: OpenFile, target: ArrayBufferView, position: number): Promise<void> => {
  const bytes = bytesOfArray(target);
  const done = await file.read(position, bytes);
  if (done < bytes.length)
    throw new PeftError(
      'bad-safetensors',
      `${path}: ends at byte ${position + done}; it was cut after it was opened. Open it again.`,
    );
};
