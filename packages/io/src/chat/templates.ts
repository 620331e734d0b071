import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { decodeUtf8, isObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { reasonOf } from '../report.ts';
import { roleTokens } from '../tokenizer/added-of-config.ts';

/** The chat templates of a folder by name, and the special tokens that they can name. */
export interface Templates {
  readonly templates: ReadonlyMap<string, string>;
  readonly specials: Readonly<Record<string, string>>;
}

const maxBytes = 2 ** 20;
const [configPath, mapPath] = ['tokenizer_config.json', 'special_tokens_map.json'];
const moreTemplates = 'additional_chat_templates';

const jsonIn = async (files: Files, path: string): Promise<Readonly<Record<string, unknown>>> =>
  (await files.size(path)) === null ? {} : readJsonObject(files, path, 'bad-tokenizer');

const textIn = async (files: Files, path: string): Promise<string> => {
  const who = joinPath(files.name, path);
  const bytes = await files.read(path, { end: maxBytes + 1 });
  if (bytes.length > maxBytes)
    throw new PeftError('bad-tokenizer', `${who}: has more than ${maxBytes} bytes, the most of a chat template.`);
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw new PeftError('bad-tokenizer', `${who}: is not UTF-8 (${reasonOf(cause)}). Download it again.`, { cause });
  }
};

/** Templates of a config's field: one, or a list of `{ name, template }`. */
const inField = (value: unknown, who: string): (readonly [string, string])[] => {
  if (value === undefined || value === null) return [];
  if (typeof value === 'string') return [['default', value]];
  const isNamed = (entry: unknown): entry is { readonly name: string; readonly template: string } =>
    isObject(entry) && typeof entry['name'] === 'string' && typeof entry['template'] === 'string';
  if (Array.isArray(value) && value.every(isNamed)) return value.map(({ name, template }) => [name, template]);
  throw new PeftError(
    'bad-tokenizer',
    `${who}: chat_template is neither a text nor a list of { name, template }. Correct it, or give loadChat a template.`,
  );
};

/** Those in files of their own, which come before those of the config. */
const inFiles = async (files: Files): Promise<(readonly [string, string])[]> => {
  const found: [string, string][] = [];
  if ((await files.size('chat_template.jinja')) !== null)
    found.push(['default', await textIn(files, 'chat_template.jinja')]);
  const folder = (await files.list())?.includes(`${moreTemplates}/`) ? await files.list(moreTemplates) : null;
  for (const name of folder ?? [])
    if (name.endsWith('.jinja'))
      found.push([name.slice(0, -'.jinja'.length), await textIn(files, `${moreTemplates}/${name}`)]);
  return found;
};

/**
 * Reads them, or takes the one given. Throws `bad-tokenizer`, also where there is none. The order is that of transformers,
 * `tokenization_utils_base.py`: files of their own, where there are some, are all that counts.
 */
export const templatesIn = async (files: Files, given?: string): Promise<Templates> => {
  const [config, map] = [await jsonIn(files, configPath), await jsonIn(files, mapPath)];
  const specials = { ...roleTokens(map), ...roleTokens(config) };
  if (given !== undefined) return { templates: new Map([['default', given]]), specials };
  const own = await inFiles(files);
  const found = own.length > 0 ? own : inField(config['chat_template'], joinPath(files.name, configPath));
  if (found.length === 0 && (await files.size('chat_template.json')) !== null) {
    const json = await readJsonObject(files, 'chat_template.json', 'bad-tokenizer');
    found.push(...inField(json['chat_template'], joinPath(files.name, 'chat_template.json')));
  }
  if (found.length === 0)
    throw new PeftError(
      'bad-tokenizer',
      `${files.name}: has no chat template (chat_template.jinja, or chat_template in ${configPath}), so the model was not made for conversations, or its template is to be given: loadChat(dir, { template }).`,
    );
  return { templates: new Map(found), specials };
};

/** The template of a name, or the one that is meant without. Throws `bad-option`. */
export const chosen = (
  templates: ReadonlyMap<string, string>,
  name: string | undefined,
  hasTools: boolean,
  who: string,
): string => {
  const wanted = name ?? (hasTools && templates.has('tool_use') ? 'tool_use' : 'default');
  const found = templates.get(wanted);
  if (found !== undefined) return found;
  throw new PeftError(
    'bad-option',
    `${who}: has no chat template of the name ${JSON.stringify(wanted)}; say which with \`template\`: ${[...templates.keys()].join(', ')}.`,
  );
};
