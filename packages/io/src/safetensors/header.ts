import { decodeUtf8, deepest, isObject, jsonFaults } from '../json.ts';
import { quote, reasonOf } from '../report.ts';
import { bytesOfDType, type FileDType, fileDTypes, isFileDType } from './dtype.ts';

/** Where a tensor lies in its file and how to read it. */
export interface TensorInfo {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** First byte, counted from the start of the file. */
  readonly start: number;
  readonly byteLength: number;
}

/** The checked header of a safetensors file. Names are free text, so they are keys of a map and never of an object. */
export interface Header {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** Largest header. The reference implementation takes 100 MB; the largest files of models have less than one. */
export const maxHeaderBytes = 32_000_000;

/** Most tensors of one file. The largest models have 100,000, in hundreds of files. */
const maxTensors = 100_000;

/**
 * Checks and reads a safetensors header: `{ name: { dtype, shape, data_offsets: [begin, end] }, __metadata__? }`.
 * The offsets count from `dataStart`, and the tensors must cover the `dataBytes` that follow without a hole or an
 * overlap. Everything that is wrong is pushed to `problems`; the result is to be used only if none was.
 *
 * Source: huggingface/safetensors, `Metadata::validate`, https://github.com/huggingface/safetensors.
 */
export const parseHeader = (bytes: Uint8Array, dataStart: number, dataBytes: number, problems: string[]): Header => {
  const metadata = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  const json = parseJson(bytes, problems);
  for (const [name, entry] of Object.entries(json ?? {})) {
    if (name === '__metadata__') readMetadata(entry, metadata, problems);
    else {
      const info = readEntry(name, entry, dataStart, dataBytes, problems);
      if (info) tensors.set(name, info);
    }
  }
  // With an entry left out for another fault, its bytes would be told a second time as a hole.
  if (problems.length === 0) checkCoverage(tensors, dataStart, dataBytes, problems);
  return { metadata, tensors };
};

const parseJson = (bytes: Uint8Array, problems: string[]): Record<string, unknown> | undefined => {
  // Counted before anything is made of it: each tensor is an object.
  if (hasMoreThan(bytes, openBrace, maxTensors + 2)) {
    problems.push(`the header has more than ${maxTensors} tensors`);
    return undefined;
  }
  let text: string;
  let json: unknown;
  try {
    text = decodeUtf8(bytes);
    json = JSON.parse(text);
  } catch (error) {
    problems.push(`the header is not JSON in UTF-8 (${reasonOf(error)})`);
    return undefined;
  }
  if (!isObject(json) || !text.startsWith('{')) {
    problems.push('the header is not a JSON object that starts with "{"');
    return undefined;
  }
  const { duplicates, isDeep } = jsonFaults(text);
  for (const key of duplicates) problems.push(`the header has the key ${quote(key)} twice in one object`);
  if (isDeep) problems.push(`the header is nested more than ${deepest} deep`);
  return isDeep ? undefined : json;
};

const openBrace = 0x7b;

const hasMoreThan = (bytes: Uint8Array, wanted: number, most: number): boolean => {
  let count = 0;
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) if (++count > most) return true;
  return false;
};

const readMetadata = (entry: unknown, metadata: Map<string, string>, problems: string[]): void => {
  if (!isObject(entry)) {
    problems.push('__metadata__ is not an object of texts');
    return;
  }
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value === 'string') metadata.set(key, value);
    else problems.push(`__metadata__ ${quote(key)} is not a text`);
  }
};

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const readEntry = (
  name: string,
  entry: unknown,
  dataStart: number,
  dataBytes: number,
  problems: string[],
): TensorInfo | undefined => {
  const who = `tensor ${quote(name)}`;
  if (!isObject(entry)) {
    problems.push(`${who}: its entry is not an object`);
    return undefined;
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  const before = problems.length;
  if (!isFileDType(dtype))
    problems.push(`${who}: dtype ${quote(String(JSON.stringify(dtype)))} is none of ${fileDTypes.join(', ')}`);
  if (!Array.isArray(shape) || !shape.every(isCount))
    problems.push(`${who}: shape is not a list of whole numbers >= 0`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    problems.push(`${who}: data_offsets are not two whole numbers >= 0`);
  if (problems.length > before) return undefined;

  const [begin, end] = offsets as [number, number];
  const size = product(shape as number[]);
  const byteLength = size * bytesOfDType(dtype as FileDType);
  if (begin > end) problems.push(`${who}: begins at byte ${begin}, after its end at ${end}`);
  else if (end > dataBytes) problems.push(`${who}: ends at byte ${end} of the data, which has ${dataBytes}`);
  else if (byteLength !== end - begin)
    problems.push(
      `${who}: ${String(dtype)} of shape [${(shape as number[]).slice(0, 16)}] takes ${byteLength} bytes, the offsets give ${end - begin}`,
    );
  if (problems.length > before) return undefined;
  return { dtype: dtype as FileDType, shape: shape as number[], size, start: dataStart + begin, byteLength };
};

/** Above 2^53 the product is rounded, but never down to a size that a file could have. */
const product = (shape: readonly number[]): number => (shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1));

const checkCoverage = (
  tensors: ReadonlyMap<string, TensorInfo>,
  dataStart: number,
  dataBytes: number,
  problems: string[],
): void => {
  const sorted = [...tensors].sort(([, a], [, b]) => a.start - b.start || a.byteLength - b.byteLength);
  let covered = dataStart;
  let last = '';
  for (const [name, { start, byteLength }] of sorted) {
    if (start < covered) problems.push(`tensors ${quote(last)} and ${quote(name)} overlap in the file`);
    if (start > covered) problems.push(`${start - covered} bytes before tensor ${quote(name)} belong to no tensor`);
    if (start + byteLength >= covered) {
      covered = start + byteLength;
      last = name;
    }
  }
  const left = dataStart + dataBytes - covered;
  if (left > 0) problems.push(`the last ${left} bytes of the file belong to no tensor`);
};
