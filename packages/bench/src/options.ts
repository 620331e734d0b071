import { availableParallelism } from 'node:os';
import { baseModelDir } from '@peftjs/base-model';
import { Command, InvalidArgumentError, Option } from 'commander';
import { classTasks } from './classes/tasks.ts';
import { paths } from './paths.ts';
import { tried } from './quality/methods.ts';
import { stacks } from './stacks/catalog.ts';
import { dataTask, groups, int8Task, qualityTask, quantizedTask, serveTask } from './tasks/catalog.ts';

/** The options of a bench. */
export interface BenchOptions {
  /** Names of groups and of single tasks. */
  readonly task: readonly string[];
  readonly stack: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly budget: number;
  readonly limit: number;
  readonly threads: number;
  readonly toggles: readonly string[];
  /** One line of JSON per task and stack on standard output, and no files. */
  readonly json: boolean;
  /** Methods of the task `quality`. */
  readonly methods: readonly string[];
  /** Measure their speed instead of their losses. */
  readonly speed: boolean;
  /** Of the task `serve`. */
  readonly clients: number;
  readonly adapters: number;
  readonly minutes: number;
  /** Folder of the model of the tasks `quantized`, `int8-quality` and `smollm2`. */
  readonly model: string;
  readonly setup: boolean;
  /** Make a folder that runs elsewhere, instead. */
  readonly pack?: string;
  /** Print where the time of each task goes on our own stacks instead. */
  readonly profile: boolean;
  /** Print the roofline on paper instead. */
  readonly roofline: boolean;
  /** Write docs/performance.md instead. */
  readonly page: boolean;
  /** The command line, without where results go. */
  readonly command: string;
  /** Where results go. */
  readonly out: string;
}

const positive =
  (whole: boolean) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== '' && value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value))) return value;
    throw new InvalidArgumentError(`It must be a ${whole ? 'whole ' : ''}number above 0.`);
  };

const list = (text: string): string[] =>
  text
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);

const namesOf =
  (known: readonly string[]) =>
  (text: string): string[] => {
    const names = list(text);
    if (names.join() === 'list') return names;
    const unknown = names.filter((name) => !known.includes(name));
    if (unknown.length > 0 || names.length === 0)
      throw new InvalidArgumentError(
        `There is no ${unknown.map((n) => `'${n}'`).join(', ') || 'name in it'}; there are ${known.join(', ')}.`,
      );
    return names;
  };

const taskNames = [
  ...new Set([
    ...groups.flatMap(({ name, tasks }) => [name, ...tasks.map((task) => task.name)]),
    qualityTask.name,
    serveTask.name,
    dataTask.name,
    quantizedTask.name,
    int8Task.name,
    ...classTasks.map(({ name }) => name),
  ]),
];
const stackNames = stacks.map(({ name }) => name);

/**
 * A compiler of kernels zeroes workgroup memory itself; our own executor switches the driver's way off on software adapters, which would
 * take a statement per value.
 */
const defaultToggles = ['disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension'];

const commandOf = (args: readonly string[]): string => {
  const kept = args
    .filter((word, i) => !word.startsWith('--out') && args[i - 1] !== '--out')
    .map((word, i, all) =>
      all[i - 1] === '--model' || word.startsWith('--model=') ? word.replace(/[^=]*\//, '') : word,
    );
  return ['pnpm bench', ...kept].join(' ');
};

/** Parses the command line. Ends the process with code 1 and a message when it is wrong. */
export const parseOptions = (args: readonly string[]): BenchOptions => ({
  ...new Command('pnpm bench')
    .description('Measures training and generation beside the peers: tables, a file of results, charts.')
    .addOption(
      new Option(
        '--task <names>',
        "'list', or names with commas between (default: all but smollm2, qwen-0.5b, scaling, memory, quality, quantized, int8-quality, serve, data, spam and images)",
      )
        .default([] as string[])
        .argParser(namesOf(taskNames)),
    )
    .addOption(
      new Option('--stack <names>', "'list', or names with commas between (default: all that are installed)")
        .default([] as string[])
        .argParser(namesOf(stackNames)),
    )
    .addOption(new Option('--rounds <n>', 'turns that each stack takes').default(5).argParser(positive(true)))
    .addOption(
      new Option('--seconds <s>', 'length of a turn, at least one run; of products a quarter')
        .default(2)
        .argParser(positive(false)),
    )
    .addOption(
      new Option('--budget <s>', 'a stack that has run a task for so long takes no more turns; of products a quarter')
        .default(40)
        .argParser(positive(false)),
    )
    .addOption(
      new Option('--limit <s>', 'a stack that is silent for so long fails').default(1800).argParser(positive(false)),
    )
    .addOption(
      new Option('--threads <n>', 'threads of each stack').default(availableParallelism()).argParser(positive(true)),
    )
    .addOption(
      new Option('--toggles <words>', "Dawn's, for all WebGPU stacks alike").default(defaultToggles).argParser(list),
    )
    .addOption(
      new Option('--methods <names>', 'those of the task quality (default: all)')
        .default(tried())
        .argParser(namesOf(tried())),
    )
    .addOption(new Option('--clients <n>', 'those of the task serve').default(64).argParser(positive(true)))
    .addOption(new Option('--adapters <n>', 'those of the task serve').default(8).argParser(positive(true)))
    .addOption(new Option('--minutes <n>', 'how long they ask').default(10).argParser(positive(false)))
    .option('--speed', 'measure the speed of their steps, on an idle machine, instead of their losses', false)
    .option(
      '--model <dir>',
      'folder of the model of the tasks quantized, int8-quality, data, smollm2 and spam',
      baseModelDir(),
    )
    .option('--out <dir>', 'where results and charts go', paths.results)
    .option('--json', 'print one line of JSON per task and stack, and write no files', false)
    .option(
      '--profile',
      'print the time of each kernel of ours-cpu and ours-webgpu, or of those of ours that --stack names',
      false,
    )
    .option('--roofline', 'print what training steps cost on GPUs that need not be here, by their plans', false)
    .option(
      '--page',
      'write docs/performance.md and the pages of the other tasks from the newest results in --out',
      false,
    )
    .option(
      '--pack <dir>',
      'make a folder that checks and measures WebGPU on a Linux machine with a GPU, without npm and network',
    )
    .option('--setup', 'install the peers into packages/bench/.peers (about 6 GB, most of it PyTorch)', false)
    .allowExcessArguments(false)
    .showHelpAfterError('(pnpm bench --help lists the options)')
    .parse([...args], { from: 'user' })
    .opts<Omit<BenchOptions, 'command'>>(),
  command: commandOf(args),
});
