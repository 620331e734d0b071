import {
  type FileIn,
  type FilePlace,
  type Files,
  fileAt,
  filesAt,
  isHub,
  joinPath,
  nameOf,
  type Place,
  parseHub,
} from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type CsvOptions, csv } from './csv.ts';
import { gunzip } from './gunzip.ts';
import { inSequence } from './in-sequence.ts';
import { json } from './json.ts';
import { jsonl } from './jsonl.ts';
import { parquet } from './parquet.ts';
import type { Stream } from './stream.ts';
import { text } from './text.ts';

/** How files are read whose kind their names tell. */
export interface OpenRowsOptions extends CsvOptions {
  /** The kind of the files. Default: by the ends of their names, each its own. */
  readonly kind?: 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | 'text';
  /** The files of a folder that are read, such as `train-*.parquet` or `2024/*.jsonl`. Default: all of a known kind, in folders of the folder too. */
  readonly pattern?: string;
  /** The field of a JSON file that has the items. */
  readonly list?: string;
  /** The separator of two documents of a text. Default: an empty line. */
  readonly separator?: string;
}

type Kind = NonNullable<OpenRowsOptions['kind']>;

const kindOfEnd: Readonly<Record<string, Kind>> = {
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'json',
  csv: 'csv',
  tsv: 'tsv',
  parquet: 'parquet',
  txt: 'text',
  text: 'text',
  md: 'text',
};

const kinds = ['jsonl', 'json', 'csv', 'tsv', 'parquet', 'text'] as const;

const rules: Rules<OpenRowsOptions> = {
  kind: mustBe.oneOf(kinds),
  pattern: mustBe.text,
  list: mustBe.text,
  separator: mustBe.text,
  delimiter: mustBe.text,
  columns: mustBe.such('names of columns', Array.isArray),
  longest: mustBe.count,
};

const kindByName = (path: string): Kind | undefined =>
  kindOfEnd[/\.([a-z]+)(?:\.gz)?$/.exec(path.toLowerCase())?.[1] ?? ''];

/** Folders of caches and of version control are no data. */
const isHidden = (name: string): boolean => name.startsWith('.') || name.startsWith('_');

/** All files below a folder, in the order of their names. */
const filesBelow = async (files: Files, folder = ''): Promise<readonly string[]> => {
  const names = await files.list(folder === '' ? undefined : folder);
  if (names === null)
    throw new PeftError('bad-option', `${files.name}: can't tell which files it has; name them one by one`);
  const below = names
    .filter((name) => !isHidden(name))
    .map(async (name) => {
      const path = joinPath(folder, name.replace(/\/$/, ''));
      return name.endsWith('/') ? filesBelow(files, path) : [path];
    });
  return (await Promise.all(below)).flat();
};

const filesOfFolder = async (files: Files, pattern: string | undefined): Promise<readonly FileIn[]> => {
  const all = await filesBelow(files);
  const { default: picomatch } = await import('picomatch');
  const matches = pattern === undefined ? (path: string) => kindByName(path) !== undefined : picomatch(pattern);
  const found = all.filter((path) => matches(path)).map((path) => ({ files, path }));
  if (found.length > 0) return found;
  const some = all.length === 0 ? 'no files' : `${all.slice(0, 5).join(', ')}${all.length > 5 ? ', …' : ''}`;
  throw new PeftError(
    'file-missing',
    `${files.name}: no file ${pattern === undefined ? `ends with ${Object.keys(kindOfEnd).join(', ')}` : `matches ${pattern}`}; it has ${some}`,
  );
};

const isFileIn = (place: object): place is FileIn => 'files' in place && 'path' in place;

/** The files that are meant by a place: a file, a folder, or a path with a pattern in it. */
const filesOf = async (place: FilePlace | Place, pattern: string | undefined): Promise<readonly FileIn[]> => {
  if (typeof place === 'object' && !(place instanceof URL))
    return isFileIn(place) ? [place] : filesOfFolder(place, pattern);
  if (typeof place === 'string' && place.includes('*') && !/^https?:/i.test(place)) {
    const [folder, own] = [/^[^*]*[/\\]/.exec(place)?.[0] ?? '', place.replace(/^[^*]*[/\\]/, '')];
    return filesOfFolder(await filesAt(folder === '' ? '.' : folder), own);
  }
  if (isHub(place) && parseHub(String(place)).path === '') return filesOfFolder(await filesAt(place), pattern);
  const at = await fileAt(place);
  if ((await at.files.size(at.path)) !== null) return [at];
  const folder = await filesAt(place);
  const isFolder = await folder.list().then(
    (names) => names !== null,
    () => false,
  );
  if (isFolder) return filesOfFolder(folder, pattern);
  throw new PeftError('file-missing', `${nameOf(at)}: there is no such file or folder`);
};

const openFile = async (at: FileIn, options: OpenRowsOptions): Promise<Stream<unknown>> => {
  const { kind = kindByName(at.path), list, separator, delimiter, columns, longest } = options;
  if (!kind)
    throw new PeftError(
      'bad-option',
      `${nameOf(at)}: its name does not tell what it is; it may end with ${Object.keys(kindOfEnd).join(', ')}, each with .gz too. Say it with \`kind\`: ${kinds.join(', ')}.`,
    );
  const size = longest === undefined ? {} : { longest };
  const file = /\.gz$/i.test(at.path) && kind !== 'parquet' ? await gunzip(at) : at;
  if (kind === 'jsonl') return jsonl(file, size);
  if (kind === 'json') return json(file, { ...size, ...(list !== undefined && { list }) });
  if (kind === 'parquet') return parquet(file);
  if (kind === 'text') return text(file, { ...size, ...(separator !== undefined && { separator }) });
  const between = delimiter ?? (kind === 'tsv' ? '\t' : ',');
  return csv(file, { ...size, delimiter: between, ...(columns && { columns }) });
};

/**
 * The items of files by what their names end with (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`, `.txt`; all but Parquet with `.gz` too): of one
 * file, of a folder, of a path with a pattern (`data/*.jsonl`), of a dataset on the hub (`hub:datasets/owner/name`), or of several of these, one after the other in the order of their names. A text
 * file gives texts, all others objects. Throws `file-missing` where there is none, `bad-option` for a kind that is not known.
 */
export const openRows = async (
  place: FilePlace | Place | readonly (FilePlace | Place)[],
  options: OpenRowsOptions = {},
): Promise<Stream<unknown>> => {
  checkOptions('openRows', rules, options);
  const places = (Array.isArray(place) ? place : [place]) as readonly (FilePlace | Place)[];
  const files = (await Promise.all(places.map((one) => filesOf(one, options.pattern)))).flat();
  const streams = await Promise.all(files.map((file) => openFile(file, options)));
  return streams.length === 1 ? streams[0]! : inSequence(streams);
};
