import { access, readdir, writeFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { outro, select, text } from '@clack/prompts';
import { PeftError } from '@peftjs/tensor';
import { stringify } from 'yaml';
import type { Call } from '../commands.ts';
import { parseRunConfig } from '../config/read.ts';
import { type Context, result } from '../context.ts';
import { Stopped } from '../exit-codes.ts';
import { methods } from '../methods.ts';
import { placeKind } from '../place-kind.ts';

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
  if (path === '') return undefined;
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
      }),
    );
  const model =
    known.model ??
    given(
      await text({
        ...streams,
        message:
          'Which model? A folder in Hugging Face layout, a GGUF file, or nothing for the small one that is shipped.',
        defaultValue: '',
        placeholder: 'my-model',
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
    known.epochs ?? given(await text({ ...streams, message: 'How often is each example seen?', initialValue: '3' }));
  return { data, model, method, quantize, epochs };
};

/** The text of a `run.yaml`. */
const yamlOf = ({ data, model, method, quantize, epochs }: Answers): string => {
  const { learningRate } = methods.get(method) ?? {};
  const fields = {
    ...(model !== '' && { model }),
    data: { train: data, heldOut: 0.05 },
    method: { name: method },
    ...(model !== '' && learningRate !== undefined && { optimizer: { rate: learningRate } }),
    epochs: Number(epochs),
    ...(quantize !== '' && { quantize }),
  };
  return `# yaml-language-server: $schema=node_modules/@peftjs/cli/run.schema.json\n# npx peftjs train --dry-run FILE tells of the run before its first step; npx peftjs methods ${method} lists options.\n${stringify(fields)}`;
};

/**
 * `peftjs init`: asks for data, model and method and writes `run.yaml`. What flags say is not asked for; with `--yes`, or where nobody can answer, the rest is the
 * default. Throws `bad-option` where the file is there already, and where the answers are no sound run.
 */
export const run = async ({ args: [file = 'run.yaml'], options, context }: Call): Promise<void> => {
  if ((await isThere(file)) && options['force'] !== true)
    throw new PeftError('bad-option', `init: ${file} is there already; --force writes it anew, or name another file`);
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
  const yaml = yamlOf(answers);
  // It is sound before it is written.
  parseRunConfig(yaml, file);
  await writeFile(file, yaml);
  if (!alone && context.out === process.stdout) outro(`${file} is written.`);
  result(context, { file, ...answers }, `${alone ? `${file} is written.\n` : ''}Next: npx peftjs train ${file}`);
};
