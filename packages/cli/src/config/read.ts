import { readFile } from 'node:fs/promises';
import { PeftError } from '@peftjs/tensor';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type * as z from 'zod';
import { hint } from '../nearest.ts';
import { reasonOf } from '../output.ts';
import { byOtherName } from './other-names.ts';
import { applied, type Override } from './overrides.ts';
import { expanded, type RunConfig, runSchema } from './schema.ts';

/** A configuration as it was written: in a file, or by flags alone. */
interface Written {
  readonly name: string;
  readonly document: Document | null;
  readonly lines: LineCounter;
  readonly overrides: readonly Override[];
}

const placeAt = ({ name, lines }: Written, offset: number): string => {
  const { line, col } = lines.linePos(offset);
  return `${name}:${line}:${col}`;
};

/** Where a path stands: the flag that said it, else its place in the file; of what isn't there, that of the nearest around it. */
const placeOf = (written: Written, path: readonly PropertyKey[], key?: string): string => {
  const whole = key === undefined ? path : [...path, key];
  const flag = written.overrides.findLast(
    ({ path: own }) => own.length > 0 && own.slice(0, whole.length).every((part, i) => part === String(whole[i])),
  );
  if (flag) return `--${flag.path.join('.')}`;
  const { document } = written;
  if (!document) return '';
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length) as string[], true);
    if (!isNode(node) || !node.range) continue;
    const pair =
      length === path.length && key !== undefined && isMap(node)
        ? node.items.find((item) => isScalar(item.key) && String(item.key.value) === key)
        : undefined;
    const at = isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
    return placeAt(written, at ?? node.range[0]);
  }
  return written.name;
};

const inFront = (place: string, words: string): string => (place === '' ? words : `${place}: ${words}`);

/** The inside of a schema, as far as it is looked into. */
interface Def {
  readonly innerType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly options?: readonly z.ZodType[];
  readonly values?: readonly string[];
}

const defOf = (schema: z.ZodType | undefined): Def => {
  const def = (schema?.def ?? {}) as Def;
  return def.innerType ? defOf(def.innerType) : def;
};

const namesOf = (schema: z.ZodType | undefined): readonly string[] =>
  defOf(schema).options?.flatMap((option) => defOf(defOf(option).shape?.['name']).values ?? []) ?? [];

/** The fields of an object at a path: of one with several kinds those of the kind that its name chooses. */
const keysAt = (schema: z.ZodType | undefined, path: readonly PropertyKey[], raw: unknown): readonly string[] => {
  const { options, shape = {} } = defOf(schema);
  const name = (raw as { readonly name?: string } | null)?.name;
  if (options)
    return keysAt(
      options.find((option) => defOf(defOf(option).shape?.['name']).values?.includes(name!)),
      path,
      raw,
    );
  const [first, ...rest] = path;
  if (first === undefined) return Object.keys(shape);
  return keysAt(shape[String(first)], rest, (raw as Readonly<Record<PropertyKey, unknown>> | null)?.[first]);
};

const valueAt = (raw: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key],
    raw,
  );

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** A fault of the configuration in words, each with its place. */
const faultsOf = (written: Written, issue: z.core.$ZodIssue, raw: unknown): string[] => {
  const { path } = issue;
  const name = path.join('.');
  const value = valueAt(raw, path);
  const at = placeOf(written, path);
  const field = name === '' ? 'the configuration' : name;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(runSchema, path, raw);
    return issue.keys.map((key) => {
      const there = path.length === 0 ? byOtherName(key) : null;
      const meant = there === null ? hint(key, known) : `; it is called ${there} here`;
      return inFront(placeOf(written, path, key), `there is no ${[...path, key].join('.')}${meant}`);
    });
  }
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    const names = namesOf(defOf(runSchema).shape?.[String(path[0])]);
    const asked = String((valueAt(raw, path.slice(0, 1)) as { readonly name?: unknown } | undefined)?.name);
    return [inFront(at, `there is no ${String(path[0])} ${shown(asked)}${hint(asked, names)}`)];
  }
  if (value === undefined)
    return [inFront(placeOf(written, path.slice(0, -1)), `${field} is missing${fieldHint(name)}`)];
  const meant = issue.code === 'invalid_value' ? hint(String(value), issue.values.map(String)) : '';
  if (meant !== '') return [inFront(at, `${field} is ${shown(value)}${meant}`)];
  if (issue.code === 'custom' && issue.path.at(-1) === 'epochs') return [inFront(at, issue.message)];
  return [inFront(at, `${field} is ${shown(value)}, and ${expectation(issue)}`)];
};

const fieldHint = (name: string): string =>
  name === 'data' ? '; say which file to learn from: data: chat.jsonl, or --data chat.jsonl' : '';

/** The value that was expected, in words. */
const expectation = (issue: z.core.$ZodIssue): string => {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${({ int: 'a whole number', number: 'a number', string: 'a text', object: 'an object', array: 'a list', boolean: 'true or false' } as Record<string, string>)[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return `must be ${issue.origin === 'array' ? 'a list of ' : ''}${issue.inclusive ? 'at least' : 'above'} ${issue.minimum}`;
    case 'too_big':
      return `must be ${issue.inclusive ? 'at most' : 'below'} ${issue.maximum}`;
    default:
      return issue.message;
  }
};

/** Faults that are told at once; an error holds a thousand characters. */
const most = 8;

const fail = (problems: readonly string[]): never => {
  const more = problems.length > most ? [`and ${problems.length - most} more`] : [];
  const lines = [...problems.slice(0, most), ...more].map((problem) => `  ${problem}`);
  const text =
    problems.length === 1 ? problems[0]! : `${problems.length} faults in the configuration:\n${lines.join('\n')}`;
  throw new PeftError('bad-config', text);
};

/**
 * Checks a configuration: the text of a YAML file, or none, with overrides of flags. Throws `bad-config` with all that is wrong, each with file, line and
 * column, or the flag, and what was meant.
 */
export const parseRunConfig = (text: string | null, name: string, overrides: readonly Override[] = []): RunConfig => {
  const lines = new LineCounter();
  const document = text === null ? null : parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const written: Written = { name, document, lines, overrides };
  const odd = document?.errors.map(({ message, pos }) => `${placeAt(written, pos[0])}: is not YAML: ${message}`) ?? [];
  if (odd.length > 0) fail(odd);
  const json: unknown = document?.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof json !== 'object' || Array.isArray(json))
    fail([
      `${placeOf(written, [])}: is ${Array.isArray(json) ? 'a list' : 'a text'}, and must be an object: data: chat.jsonl`,
    ]);
  const raw = expanded(applied(json, overrides));
  const result = runSchema.safeParse(raw);
  if (result.success) return result.data;
  return fail([...new Set(result.error.issues.flatMap((issue) => faultsOf(written, issue, raw)))]);
};

/** Whether a file is one of examples by its name; JSON may be YAML. */
const isData = (file: string): boolean => /\.(jsonl|ndjson|csv|tsv|parquet|txt)(\.gz)?$/i.test(file);

/** Reads a configuration from a file, or of flags alone where there is none. Throws `file-missing`, `bad-option` for a file of examples, and as `parseRunConfig`. */
export const readRunConfig = async (file: string | undefined, overrides: readonly Override[]): Promise<RunConfig> => {
  if (file === undefined) return parseRunConfig(null, '', overrides);
  if (isData(file))
    throw new PeftError('bad-option', `${file}: is no run.yaml; to learn from it: --data ${file}, or data: ${file}`);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new PeftError('file-missing', `${file}: the configuration can't be read: ${reasonOf(cause)}`, { cause });
  }
  return parseRunConfig(text, file, overrides);
};
