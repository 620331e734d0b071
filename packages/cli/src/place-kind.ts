import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { filesAt, isHub, parseHub } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** The kinds of things that commands are given. */
export type PlaceKind = 'run' | 'adapter' | 'head' | 'model' | 'gguf' | 'tensors' | 'data';

const has = (dir: string, name: string): Promise<boolean> =>
  access(join(dir, name)).then(
    () => true,
    () => false,
  );

/** Files by which a folder is told, the first that is there. */
const folders: readonly (readonly [file: string, kind: PlaceKind])[] = [
  ['run.yaml', 'run'],
  ['adapter_config.json', 'adapter'],
  ['adapter_setup.json', 'adapter'],
  ['head_config.json', 'head'],
  ['config.json', 'model'],
];

const files: readonly (readonly [name: RegExp, kind: PlaceKind])[] = [
  [/\.gguf$/i, 'gguf'],
  [/\.safetensors(\.\d+)?$/i, 'tensors'],
  [/\.(jsonl|ndjson|json|csv|tsv|parquet|txt|text|md)(\.gz)?$/i, 'data'],
];

const noFolder = (place: string): PeftError =>
  new PeftError(
    'bad-option',
    `${place}: has none of ${folders.map(([file]) => file).join(', ')}, so it is no run, no adapter, no head and no model`,
  );

/** The kind of a place on the hub, by the names of its files alone. */
const hubKind = async (place: string): Promise<PlaceKind> => {
  const kind = files.find(([name]) => name.test(parseHub(place).path))?.[1];
  if (kind) return kind;
  const found = await filesAt(place);
  for (const [file, own] of folders) if ((await found.size(file)) !== null) return own;
  throw noFolder(place);
};

/** The kind of a path on disk, or of a place on the hub. Throws `file-missing` where there is nothing, `bad-option` where it is none of these. */
export const placeKind = async (path: string): Promise<PlaceKind> => {
  if (isHub(path)) return hubKind(path);
  const found = await stat(path).catch(() => null);
  if (!found) throw new PeftError('file-missing', `${path}: there is no such file or folder`);
  if (found.isDirectory()) {
    for (const [file, kind] of folders) if (await has(path, file)) return kind;
    throw noFolder(path);
  }
  const kind = files.find(([name]) => name.test(path))?.[1];
  if (kind) return kind;
  throw new PeftError(
    'bad-option',
    `${path}: is no file of a kind that is known: .gguf, .safetensors; of data .jsonl, .json, .csv, .tsv, .parquet, .txt`,
  );
};
