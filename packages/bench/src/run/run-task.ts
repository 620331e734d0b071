import type { Values } from '../agreement.ts';
import { prepare } from '../data/prepare.ts';
import { paths } from '../paths.ts';
import type { Stack } from '../stacks/catalog.ts';
import type { StackOptions } from '../stacks/stack.ts';
import type { Group } from '../tasks/catalog.ts';
import type { Task } from '../tasks/task.ts';
import { energyMeter } from './energy.ts';
import { type Contender, measure, type Row } from './measure.ts';

/** How a task is run. */
export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly budget: number;
  readonly limit: number;
  readonly threads: number;
  readonly toggles: readonly string[];
  /** The folder of the published model that some tasks are of. */
  readonly model?: string;
  /** The first results that are right, where they are known before. */
  readonly reference?: Values;
  say(text: string): void;
}

const energy = energyMeter();

/** The part of the options that is the stacks'. */
export const stackOptionsOf = ({ threads, toggles }: Pick<RunOptions, 'threads' | 'toggles'>): StackOptions => ({
  threads,
  toggles,
  peers: paths.peers,
});

/** Measures a task on the stacks that can do it; of a group with a figure on our own alone. */
export const runTask = async (
  task: Task,
  group: Group,
  chosen: readonly Stack[],
  options: RunOptions,
): Promise<Row[]> => {
  const able = chosen.filter((stack) => (!group.figure || stack.name.startsWith('ours')) && stack.does(task));
  const prepared = await prepare(task, options);
  const contenders: Contender[] = [];
  for (const stack of able)
    contenders.push({
      name: stack.name,
      command: await stack.command(prepared, stackOptionsOf(options)),
      rounds: stack.rounds ?? false,
    });
  // A product takes milliseconds.
  const part = task.kind === 'matmul' ? 1 / 4 : 1;
  return measure(prepared, contenders, {
    rounds: options.rounds,
    secondsPerRound: part * options.seconds,
    budgetSeconds: part * options.budget,
    // Nobody's losses but our own are compared there, and the steps are long.
    warmUps: group.figure ? 2 : 5,
    leastWarmUps: task.kind === 'step' && !group.figure ? 2 : 1,
    warmUpSeconds: (part * options.budget) / 2,
    limitSeconds: options.limit,
    ...(options.reference && { reference: options.reference }),
    ...(energy && { energy }),
    progress: options.say,
  });
};
