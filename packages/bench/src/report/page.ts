import { boundCells, gpuCells, type PlannedStep, stepCells } from '../roofline/roofline.ts';
import type { Row } from '../run/measure.ts';
import { type Group, groups } from '../tasks/catalog.ts';
import { smoke } from '../tasks/smoke.ts';
import { barChart } from './bar-chart.ts';
import { inShortCells } from './in-short.ts';
import { markdown } from './markdown.ts';
import { growths, memoryCells, processCells } from './memory-table.ts';
import { newestByTask } from './newest.ts';
import type { ProfileRecord } from './profile-table.ts';
import { profileCells } from './profiles.ts';
import { prose } from './prose.ts';
import type { Results } from './results.ts';
import { curvesOf, scalingCells } from './scaling.ts';
import { scalingChart } from './scaling-chart.ts';
import { tableCells } from './table.ts';

/** A page, and its figures by file name. */
export interface Page {
  readonly text: string;
  readonly figures: ReadonlyMap<string, string>;
  /** The results it is made from. */
  readonly used: ReadonlySet<Results>;
}

const runs = (used: readonly Results[]): string =>
  markdown([
    ['date', 'command', 'machine'],
    ...used.map(({ date, command, machine, settings }) => [
      date.slice(0, 16).replace('T', ' '),
      `\`${command}\``,
      `${machine.processor}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ` +
        `${machine.system}, Node ${machine.node}, ${settings.threads} threads`,
    ]),
  ]);

/** Sentences about the kernels that packed benches have checked. */
const checkedKernels = (used: readonly Results[]): string[] =>
  used.flatMap(({ kernels }) =>
    kernels
      ? [
          `On ${kernels.device}: ${kernels.ops} ops with ${kernels.samples} samples, each way of a product by itself, ${kernels.runs} runs; ${kernels.failures.length} differ from the reference.`,
        ]
      : [],
  );

const stackTable = (rows: readonly Row[]): string => {
  const known = new Map<string, readonly string[]>();
  for (const { stack, device, versions } of rows) {
    const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    const text = named.join(', ') || 'this repository';
    if (device) known.set(`${stack} ${device} ${text}`, [stack, device, text]);
  }
  return markdown([['stack', 'runs on', 'versions'], ...known.values()]);
};

const section = (group: Group, rows: readonly Row[], byTask: (name: string) => readonly Row[]): string[] => {
  if (rows.length === 0) return [];
  const title = `## ${group.name}: ${group.about}`;
  if (group.figure === 'memory')
    return [
      title,
      prose.memory,
      markdown(memoryCells(rows)),
      growths(rows)
        .map((text) => `- ${text}`)
        .join('\n'),
    ];
  if (group.figure === 'scaling') return [title, prose.scaling, markdown(scalingCells(rows))];
  const tables = group.tasks.flatMap(({ name, about }) => {
    const [first, ...others] = byTask(name);
    if (!first) return [];
    const own = markdown(tableCells([first, ...others]));
    return group.tasks.length > 1 ? [`**${name}**: ${about}`, own] : [own];
  });
  return [title, ...tables];
};

/** The plans of steps on the CPU, beside their processes. */
const planned = (rows: readonly Row[]): string[] => {
  const cells = processCells(rows);
  return cells.length > 1 ? ['## The planned peak and the process, on the CPU', prose.planned, markdown(cells)] : [];
};

/** The tiny tasks tell of agreement alone. */
const shown = groups.filter(({ tasks }) => tasks !== smoke);

const profileSection = (profiles: readonly ProfileRecord[]): string[] =>
  profiles.length === 0
    ? []
    : [
        '## Where the time goes',
        prose.profile,
        ...profiles.flatMap((record) => [
          `**${record.task}**, ${record.stack} on ${record.device}, ${record.date.slice(0, 10)}: ${record.ms.toFixed(1)} ms; ` +
            `limit ${(record.limit / 1e9).toFixed(0)} GFLOP/s`,
          markdown(profileCells(record)),
        ]),
      ];

/** docs/performance.md, from results, profiles and the planned steps of the roofline. */
export const performancePage = (
  all: readonly Results[],
  steps: readonly PlannedStep[],
  profiles: readonly ProfileRecord[] = [],
): Page => {
  const newest = newestByTask(all);
  const byTask = (name: string): readonly Row[] => newest.get(name)?.rows ?? [];
  const rowsOf = (group: Group): Row[] => group.tasks.flatMap(({ name }) => byTask(name));
  const measured = shown.flatMap(rowsOf);
  const tasks = shown.flatMap((group) => group.tasks);
  const used = new Set(tasks.flatMap(({ name }) => newest.get(name)?.results ?? []));
  const sideBySide = shown.filter(({ figure }) => !figure);
  const compared = sideBySide.flatMap(rowsOf);
  const trained = sideBySide.flatMap((group) => group.tasks).filter(({ kind }) => kind !== 'matmul');
  const figures = new Map<string, string>();
  if (compared.length > 0) figures.set('stacks.svg', barChart(compared));
  if (curvesOf(measured).length > 0) figures.set('scaling.svg', scalingChart(measured));
  const text = [
    prose.intro,
    prose.reading,
    '## What was run',
    ...(measured.length > 0 ? [runs([...used]), stackTable(measured), ...checkedKernels([...used])] : ['Nothing yet.']),
    ...(compared.length > 0
      ? [
          '## In short',
          prose.inShort,
          markdown(inShortCells(trained.map(({ name }) => byTask(name)))),
          '![All stacks side by side](performance/stacks.svg)',
        ]
      : []),
    ...shown.flatMap((group) => section(group, rowsOf(group), byTask)),
    ...planned(
      sideBySide
        .flatMap((group) => group.tasks)
        .filter(({ kind }) => kind === 'step')
        .flatMap(({ name }) => byTask(name)),
    ),
    ...profileSection(profiles),
    '## The roofline on paper',
    prose.roofline,
    markdown(gpuCells()),
    markdown(stepCells(steps)),
    markdown(boundCells(steps)),
  ].join('\n\n');
  return { text: `${text}\n`, figures, used };
};
