import { Command, InvalidArgumentError, Option } from 'commander';

/** What the demo was asked to do. */
export interface DemoOptions {
  readonly steps: number;
  readonly rank: number;
  readonly seed: number;
  readonly device?: 'cpu' | 'webgpu';
  /** A text file instead of Moby-Dick. */
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

/** Parses the command line. Ends the process with code 1 and a message when it is wrong, with 0 after `--help`. */
export const parseOptions = (args: readonly string[]): DemoOptions => {
  const command = new Command('npm run demo --')
    .description('Fine-tunes a small language model with LoRA on a text it has not seen, and writes a report.')
    .addOption(new Option('--steps <n>', 'optimiser steps').default(130).argParser(wholeNumber(1)))
    .addOption(new Option('--rank <r>', 'rank of the LoRA update').default(16).argParser(wholeNumber(1)))
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
    .option('--data <file>', 'text to learn; its last tenth is held out (default: Moby-Dick)')
    .option('--model <dir>', 'model folder in Hugging Face layout (default: the base model shipped with the demo)')
    .option('--full', 'also fine-tune all weights with as many steps, for comparison', false)
    .option('--json', 'end stdout with one line of JSON', false)
    .option('--out <dir>', 'where results go, in a folder of their own', 'out')
    .allowExcessArguments(false)
    .showHelpAfterError('(npm run demo -- --help lists the options)');
  return command.parse([...args], { from: 'user' }).opts<DemoOptions>();
};
