import { PeftError } from '@peftjs/tensor';
import { type FileContent, piecesOf } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { sha256 } from '../files/sha256.ts';
import { isObject, type JsonObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { listed, shownJson } from '../report.ts';
import { pythonJson } from './python-json.ts';

/** Tells which weights and configs were saved together. Libraries of Python don't look at it. */
export const digestFile = 'adapter_digest.json';

/** The content of that file. */
export interface Digest {
  /** SHA-256 of each file of weights or of a config. */
  readonly sums: ReadonlyMap<string, string>;
  /** Each file of a config as it was saved. */
  readonly configs: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

/** The fields of an adapter about its use, and the notes of the library that wrote it: they may change while the weights stay. */
const free: readonly string[] = [
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'model_class',
  'model_name',
  'peft_version',
  'revision',
  'task_type',
  'version',
];

/** The files of an adapter with their digest, which comes before the mark, the last of them. */
export const withDigest = (files: ReadonlyMap<string, FileContent>): Map<string, FileContent> => {
  const sums: Record<string, string> = {};
  const configs: Record<string, JsonObject> = {};
  const summed = async function* (name: string, content: FileContent): AsyncGenerator<Uint8Array, void> {
    const hash = sha256();
    for await (const piece of piecesOf(content)) {
      hash.update(piece);
      yield piece;
    }
    sums[name] = await hash.digest();
  };
  const texts = [...files].filter(
    (entry): entry is [string, string] => isConfig(entry[0]) && typeof entry[1] === 'string',
  );
  const digest = async function* (): AsyncGenerator<Uint8Array, void> {
    for (const [name, text] of texts) {
      sums[name] = await sumOf(new TextEncoder().encode(text));
      configs[name] = JSON.parse(text);
    }
    // By now the weights, which stand before, have been written.
    yield new TextEncoder().encode(`${pythonJson({ configs, sums })}\n`);
  };
  const out = new Map<string, FileContent>();
  const mark = [...files.keys()].at(-1);
  for (const [name, content] of files) {
    if (name === mark) out.set(digestFile, digest());
    out.set(name, isConfig(name) || !name.endsWith('.safetensors') ? content : summed(name, content));
  }
  return out;
};

const isConfig = (name: string): boolean => name.endsWith('.json');

const sumOf = (bytes: Uint8Array): Promise<string> => {
  const hash = sha256();
  hash.update(bytes);
  return hash.digest();
};

/** Reads the digest of a folder; null where there is none. Throws `bad-adapter`. */
export const readDigest = async (files: Files): Promise<Digest | null> => {
  if ((await files.size(digestFile)) === null) return null;
  const { sums, configs } = await readJsonObject(files, digestFile, 'bad-adapter');
  const isSound =
    isObject(sums) &&
    Object.values(sums).every((sum) => typeof sum === 'string') &&
    isObject(configs) &&
    Object.values(configs).every(isObject);
  if (!isSound)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, digestFile)}: is not a digest of weights and configs. Save the adapter again, or remove this file.`,
    );
  return {
    sums: new Map(Object.entries(sums as Record<string, string>)),
    configs: new Map(Object.entries(configs as Record<string, Record<string, unknown>>)),
  };
};

/** As JSON, whatever the order of fields; lists of names have none. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) {
    const items = value.map(canonical);
    return `[${value.every((v) => typeof v === 'string') ? items.sort().join() : items.join()}]`;
  }
  if (!isObject(value)) return JSON.stringify(value ?? null);
  const fields = Object.keys(value).sort();
  return `{${fields.map((field) => `${JSON.stringify(field)}:${canonical(value[field])}`).join()}}`;
};

/** Fields of a config that are other than they were saved; more fields may have come. */
const changes = (saved: Readonly<Record<string, unknown>>, found: Readonly<Record<string, unknown>>): string[] =>
  Object.keys(saved)
    .filter((field) => !free.includes(field) && canonical(saved[field]) !== canonical(found[field]))
    .map((field) => `${field} is ${shownJson(found[field])}, with these weights ${shownJson(saved[field])} was saved`);

/** A folder as read: sums of all its files, and the content of its configs. */
export interface Seen {
  readonly sums: Map<string, string>;
  readonly configs: Map<string, Readonly<Record<string, unknown>>>;
}

/** A config as `readJsonObject` reads it; it is noted what it was. */
export const readConfig = async (files: Files, path: string, { sums, configs }: Seen): Promise<JsonObject> => {
  const json = await readJsonObject(files, path, 'bad-adapter');
  sums.set(path, await sumOf(await files.read(path)));
  configs.set(path, json);
  return json as JsonObject;
};

/**
 * Checks that what was read was saved together. Configs may be edited where that does not change what the weights mean, and another program
 * may have written all files anew, without the digest. Throws `bad-adapter` for a mixture, and for weights that are damaged.
 */
export const checkDigest = (files: Files, digest: Digest, seen: Seen): void => {
  const others = [...digest.sums].filter(([name, sum]) => seen.sums.has(name) && seen.sums.get(name) !== sum);
  const weights = others.filter(([name]) => !isConfig(name));
  if (weights.length > 0 && weights.length < others.length) return;
  const problems = weights.map(([name]) => `${name} is not the file that was saved with the config`);
  for (const [name, found] of weights.length > 0 ? [] : seen.configs)
    problems.push(...changes(digest.configs.get(name) ?? {}, found).map((change) => `${name}: ${change}`));
  if (problems.length === 0) return;
  throw new PeftError(
    'bad-adapter',
    `${files.name}: weights and config were not saved together, or one of them was changed since:${listed(problems)}\nSave the adapter again; if the change is meant, remove ${digestFile}.`,
  );
};
