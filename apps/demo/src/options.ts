import { methods } from '@peftjs/cli/shared';
import { Command, InvalidArgumentError, Option } from 'commander';

/** The options of the demo. */
export interface DemoOptions {
  /** To go on with a text, to tell mails apart, or pictures. */
  readonly task: 'text' | 'classify' | 'image';
  /** Pictures of each class to learn from; null: as many as suits the demo. */
  readonly shots?: number;
  /** A method with its own defaults; without it LoRA as it suits the base model. */
  readonly method?: string;
  /** Methods to try one after the other. */
  readonly compare?: readonly string[];
  readonly quantize?: 'int8' | 'nf4';
  readonly steps: number;
  /** Of the methods that have a rank. */
  readonly rank?: number;
  /** Instead of the method's own. */
  readonly learningRate?: number;
  /** Layers of the methods that choose them, by name or group. */
  readonly target?: readonly string[];
  /** Rows of a batch; null: as many as suit the task. */
  readonly batch?: number;
  /** Positions of a row of text. */
  readonly context?: number;
  /** Points of the curve of held-out loss after the first; null: as many as suit the task. */
  readonly measurements?: number;
  readonly seed: number;
  readonly device?: 'cpu' | 'webgpu';
  /** A text file, or one of JSON lines, instead of Moby-Dick. */
  readonly data?: string;
  /** A model folder instead of the shipped base model. */
  readonly model?: string;
  /** Also fine-tune all weights, with as many steps. */
  readonly full: boolean;
  /** End stdout with one JSON object. */
  readonly json: boolean;
  /** Folder of the results; a new one is made for each run. */
  readonly out: string;
}

const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
    return value;
  };

const positive = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('It must be a number above 0.');
  return value;
};

const known = (name: string): string => {
  if (!methods.has(name))
    throw new InvalidArgumentError(`There is no method ${name}; there are ${[...methods.keys()].join(', ')}.`);
  return name;
};

const layers = (text: string): string[] => {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes(''))
    throw new InvalidArgumentError('It must be names between commas, such as q_proj,v_proj or all-linear.');
  return names;
};

const list = (text: string): string[] =>
  text === 'all' ? [...methods.keys()] : [...new Set(text.split(',').map(known))];

/** The options that a task does not take. */
const oddOptions = (options: DemoOptions): readonly string[] => {
  const { task, data, compare, quantize, shots, context, measurements } = options;
  const given = { data, compare, quantize, shots, context, measurements };
  const wrong = {
    text: ['shots'],
    classify: ['data', 'compare', 'quantize', 'shots', 'context', 'measurements'],
    image: ['data', 'compare', 'quantize', 'context', 'measurements'],
  };
  return wrong[task].filter((name) => given[name as keyof typeof given] !== undefined).map((name) => `--${name}`);
};

/** Parses the command line. Ends the process with code 1 and a message when it is wrong, with 0 after `--help`. */
export const parseOptions = (args: readonly string[]): DemoOptions => {
  const command = new Command('npm run demo --')
    // Narrow terminals too get whole words.
    .configureHelp({ minWidthToWrap: 20 })
    .description('Fine-tunes a small model on what it has not seen, and writes a report.')
    .addOption(
      new Option('--task <name>', 'go on with a text, tell spam from other mails, or tell pictures of clothes apart')
        .choices(['text', 'classify', 'image'])
        .default('text'),
    )
    .addOption(
      new Option(
        '--shots <n>',
        'of the task image: pictures of each class to learn from, up to 100 (default: 100)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        '--method <name>',
        `a method with its own defaults: ${[...methods.keys()].join(', ')} (default: LoRA on all layers)`,
      ).argParser(known),
    )
    .addOption(
      new Option(
        '--compare <names>',
        'several methods one after the other, names between commas or all; a table at the end',
      )
        .argParser(list)
        .conflicts(['method', 'full']),
    )
    .addOption(
      new Option('--quantize <format>', 'pack the base model first, as QLoRA does')
        .choices(['nf4', 'int8'])
        .conflicts('full'),
    )
    .addOption(new Option('--steps <n>', 'optimiser steps').default(130).argParser(wholeNumber(1)))
    .addOption(
      new Option('--rank <r>', 'rank of a method that has one (default: 16 for LoRA, else its own)').argParser(
        wholeNumber(1),
      ),
    )
    .addOption(
      new Option('--learning-rate <x>', "highest learning rate (default: the method's own)").argParser(positive),
    )
    .addOption(
      new Option(
        '--target <layers>',
        "layers that are adapted, names between commas: q_proj,v_proj or all-linear (default: the method's own)",
      ).argParser(layers),
    )
    .addOption(
      new Option('--batch <n>', 'rows of a batch (default: 8 of text, 16 of examples)').argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        '--context <n>',
        'tokens of a row of text (default: 256, or as many as the model has positions)',
      ).argParser(wholeNumber(2)),
    )
    .addOption(
      new Option(
        '--measurements <n>',
        'of a text: measurements of the held-out loss on the way (default: 8, or 3 of each method that is compared)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option('--seed <n>', 'seed of the adapter, the order of the data and the samples')
        .default(0)
        .argParser(wholeNumber(0)),
    )
    .addOption(
      new Option('--device <name>', 'where to run; default: a hardware GPU if there is one, else the CPU').choices([
        'cpu',
        'webgpu',
      ]),
    )
    .option(
      '--data <file>',
      'text to learn, its last tenth held out; or `.jsonl` with a `text` in each line, every tenth held out (default: Moby-Dick)',
    )
    .option('--model <dir>', 'model folder in Hugging Face layout (default: the base model shipped with the demo)')
    .option('--full', 'also fine-tune all weights with as many steps, for comparison', false)
    .option('--json', 'end stdout with one line of JSON', false)
    .option('--out <dir>', 'where results go, in a folder of their own', 'out')
    .allowExcessArguments(false)
    .showHelpAfterError('(npm run demo -- --help lists the options)');
  const options = command.parse([...args], { from: 'user' }).opts<DemoOptions>();
  const odd = oddOptions(options);
  if (odd.length > 0) command.error(`error: --task ${options.task} takes no ${odd.join(', ')}; leave it out.`);
  return options;
};
