import { mutateBytes } from './mutate-bytes.ts';
import { jsonText, mutateJson } from './mutate-json.ts';
import type { Random } from './random.ts';

/** Files by path. */
export type FileMap = ReadonlyMap<string, Uint8Array>;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

const parsed = (bytes: Uint8Array): { readonly value: unknown } | null => {
  try {
    return { value: JSON.parse(decoder.decode(bytes)) };
  } catch {
    return null;
  }
};

const mutateJsonFile = (bytes: Uint8Array, r: Random): Uint8Array => {
  const json = r.chance(0.85) ? parsed(bytes) : null;
  return json ? encoder.encode(jsonText(mutateJson(json.value, r))) : mutateBytes(bytes, r);
};

/** The header of a safetensors file as JSON, with a length that is right; or just bytes. */
const mutateSafetensors = (bytes: Uint8Array, r: Random): Uint8Array => {
  const length = bytes.length >= 8 ? Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)) : 0;
  const header = r.chance(0.6) && 8 + length <= bytes.length ? parsed(bytes.subarray(8, 8 + length)) : null;
  if (!header) return mutateBytes(bytes, r);
  const text = encoder.encode(jsonText(mutateJson(header.value, r)));
  const out = new Uint8Array(8 + text.length + bytes.length - 8 - length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(bytes.subarray(8 + length), 8 + text.length);
  return out;
};

const mutateFile = (path: string, bytes: Uint8Array, r: Random): Uint8Array => {
  if (path.endsWith('.json')) return mutateJsonFile(bytes, r);
  return path.endsWith('.safetensors') ? mutateSafetensors(bytes, r) : mutateBytes(bytes, r);
};

/** A folder in which a file or two have been changed; rarely one is missing, or has the content of another. */
export const mutateFiles = (files: FileMap, r: Random): FileMap => {
  const out = new Map(files);
  const paths = [...files.keys()];
  for (let i = r.below(2); i >= 0; i--) {
    const path = r.of(paths);
    const bytes = out.get(path) ?? new Uint8Array(0);
    const draw = r.below(50);
    if (draw === 0) out.delete(path);
    else if (draw === 1) out.set(path, out.get(r.of(paths)) ?? bytes);
    else out.set(path, mutateFile(path, bytes, r));
  }
  return out;
};
