import type { Context } from './context.ts';

/** The call of a command. */
export interface Call {
  /** Arguments that are no flags; of a command that takes the flags of a run, all that are not named here. */
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly context: Context;
}

/** A command's code, in a file of its own that is loaded when it is called. */
interface CommandModule {
  run(call: Call): Promise<unknown>;
}

/** A line of the list of commands. */
export interface CommandLine {
  readonly name: string;
  readonly args?: string;
  readonly about: string;
  readonly flags?: readonly (readonly [flag: string, about: string])[];
  /** Whether it takes the flags of a run, `--optimizer.rate 1e-4`. */
  readonly free?: boolean;
  readonly examples?: readonly string[];
  load(): Promise<CommandModule>;
}

/** All commands, in the order of the help. */
export const commands: readonly CommandLine[] = [
  {
    name: 'train',
    about: 'trains by a YAML file, by flags, or both; writes a folder with the adapter',
    flags: [['--dry-run', 'tells of the run (share trained, memory, examples) and ends before its first step']],
    free: true,
    examples: [
      'peftjs train run.yaml',
      'peftjs train --data chat.jsonl',
      'peftjs train --model my-model --data chat.jsonl --method dora --method.rank 8 --optimizer.rate 1e-4 --epochs 2',
    ],
    load: () => import('./commands/train.ts'),
  },
  {
    name: 'resume',
    args: '<dir>',
    about: 'goes on with a run that was stopped',
    load: () => import('./commands/resume.ts'),
  },
  {
    name: 'methods',
    args: '[name]',
    about: 'the methods that there are, or one with its options and its paper',
    load: () => import('./commands/methods.ts'),
  },
  {
    name: 'inspect',
    args: '<path>',
    about: 'the contents of a model, an adapter, a data file, a checkpoint',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'doctor',
    about: 'devices, versions and memory of this machine, and what is missing',
    load: () => import('./commands/doctor.ts'),
  },
];
