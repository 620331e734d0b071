import { cp, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PeftError } from '@peftjs/tensor';
import { parseDocument } from 'yaml';
import { hint } from './nearest.ts';

/** The folder of the recipes, beside the sources and beside what is built of them. */
const folder = async (): Promise<string> => {
  let at = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 4; up++, at = dirname(at)) {
    const found = await stat(join(at, 'recipes', 'chat.yaml')).catch(() => null);
    if (found) return join(at, 'recipes');
  }
  throw new PeftError('file-missing', 'init: the recipes of @peftjs/cli are not there; install it anew');
};

/** A run that is ready to be copied. */
export interface Recipe {
  readonly name: string;
  /** The first sentence of its comment. */
  readonly about: string;
  /** Its YAML. */
  readonly text: string;
}

/** Recipes in the order in which they are listed. */
const order = 'chat completion classification tagging embeddings dpo qlora seq2seq images distillation'.split(' ');

const rank = (name: string): number => (order.indexOf(name) + order.length) % order.length;

/** All recipes. Throws `file-missing` where the package is not whole. */
export const recipes = async (): Promise<readonly Recipe[]> => {
  const at = await folder();
  const names = (await readdir(at)).filter((name) => name.endsWith('.yaml')).map((name) => name.slice(0, -5));
  return Promise.all(
    names
      .sort((a, b) => rank(a) - rank(b))
      .map(async (name) => {
        const text = await readFile(join(at, `${name}.yaml`), 'utf8');
        const [, about = ''] = /^# (?!yaml-)[^:]+: (.+)$/m.exec(text) ?? [];
        return { name, about, text };
      }),
  );
};

/** The recipe of a name. Throws `bad-option` with those that there are. */
export const recipeOf = async (name: string): Promise<Recipe> => {
  const all = await recipes();
  const found = all.find((one) => one.name === name);
  if (found) return found;
  const known = all.map((one) => one.name);
  throw new PeftError('bad-option', `init: there is no recipe ${name}${hint(name, known)}`);
};

/** Fields of a recipe that flags change. */
export interface RecipeChanges {
  readonly data?: string | undefined;
  readonly model?: string | undefined;
  readonly method?: string | undefined;
  readonly quantize?: string | undefined;
  readonly epochs?: number | undefined;
}

/**
 * The YAML of a recipe, its comments kept, with what flags change; its own data stand in `folder`, from where the command is called. Gives the name of these too; null
 * where it reads others.
 */
export const changed = (
  { text }: Recipe,
  { data, model, method, quantize, epochs }: RecipeChanges,
  folder: string,
): { readonly yaml: string; readonly data: string | null } => {
  const document = parseDocument(text);
  const own = String(document.getIn(['data', 'train']));
  const place = join(folder, own);
  if (data !== undefined || place !== own) document.setIn(['data', 'train'], data ?? place);
  if (model !== undefined) document.set('model', model);
  if (method !== undefined) document.set('method', method);
  if (quantize !== undefined) document.set('quantize', quantize);
  if (epochs !== undefined) document.set('epochs', epochs);
  return { yaml: document.toString({ lineWidth: 120 }), data: data === undefined ? own : null };
};

/** Copies a recipe's data into a folder, where it is not there already; whether it was copied. */
export const copyData = async (name: string, to: string): Promise<boolean> => {
  const target = join(to, basename(name));
  if (await stat(target).catch(() => null)) return false;
  await cp(join(await folder(), 'data', name), target, { recursive: true });
  return true;
};
