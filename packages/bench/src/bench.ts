import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { classFiles, tellApart } from './classes/classes.ts';
import { classTasks } from './classes/tasks.ts';
import { corpus, corpusFiles } from './corpus/corpus.ts';
import { prepare } from './data/prepare.ts';
import { int8Quality } from './int8/int8.ts';
import { load, loadFiles } from './load/load.ts';
import { machine } from './machine.ts';
import type { BenchOptions } from './options.ts';
import { pack } from './pack/pack.ts';
import { paths } from './paths.ts';
import { setUpPeers } from './peers/set-up.ts';
import { quality, qualityFiles } from './quality/quality.ts';
import { quantized, quantizedFiles } from './quantized/quantized.ts';
import { align } from './report/align.ts';
import { jsonLine } from './report/json-line.ts';
import { memoryTable } from './report/memory-table.ts';
import { writePage } from './report/page-files.ts';
import { type ProfileRecord, profileRecord, profileTable } from './report/profile-table.ts';
import { saveProfiles } from './report/profiles.ts';
import { saveResults } from './report/results.ts';
import { scalingTable } from './report/scaling.ts';
import { table } from './report/table.ts';
import { boundCells, gpuCells, plannedSteps, stepCells } from './roofline/roofline.ts';
import type { Row } from './run/measure.ts';
import { runTask, stackOptionsOf } from './run/run-task.ts';
import { type Stack, stacks } from './stacks/catalog.ts';
import { open } from './stacks/ours.ts';
import { dataTask, type Group, groups, int8Task, qualityTask, quantizedTask, serveTask } from './tasks/catalog.ts';

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const list = (entries: readonly { readonly name: string; readonly about: string }[]): void => {
  const width = Math.max(...entries.map(({ name }) => name.length));
  for (const { name, about } of entries) process.stdout.write(`${name.padEnd(width)}  ${about}\n`);
};

const wantedGroups = ({ task: names }: BenchOptions): Group[] =>
  groups.flatMap((group) => {
    if (names.length === 0) return group.optional ? [] : [group];
    if (names.includes(group.name)) return [group];
    const tasks = group.tasks.filter(({ name }) => names.includes(name));
    return tasks.length > 0 ? [{ ...group, tasks }] : [];
  });

/** The stacks asked for that are installed; the others are left out by name. */
const wantedStacks = ({ stack: names }: BenchOptions): Stack[] =>
  stacks.filter((stack) => {
    if (names.length > 0 ? !names.includes(stack.name) : stack.optional) return false;
    const why = stack.missing(paths.peers);
    if (why) say(`left out: ${stack.name} (${why})`);
    return !why;
  });

const summaries = { scaling: scalingTable, memory: memoryTable };

/** Stacks of ours that tell where time goes, unless others are named. */
const profiled = ['ours-cpu', 'ours-webgpu'];

/** One warm run of each task by itself, then one with every kernel timed; the exit code. */
const printProfiles = async (options: BenchOptions): Promise<number> => {
  const names = options.stack.length > 0 ? options.stack : profiled;
  const others = names.filter((name) => !name.startsWith('ours'));
  if (others.length > 0) {
    say(`--profile tells of our own stacks alone, not of ${others.join(', ')}`);
    return 1;
  }
  const ours = stacks.filter(({ name }) => names.includes(name));
  const records: ProfileRecord[] = [];
  for (const task of wantedGroups(options).flatMap((group) => group.tasks))
    for (const { name } of ours.filter((stack) => stack.does(task))) {
      const worker = await open(name, await prepare(task, options), stackOptionsOf(options));
      await worker.run();
      const made = await worker.profile!();
      const record = profileRecord(task.name, name, worker.device, made);
      records.push(record);
      process.stdout.write(
        options.json
          ? `${JSON.stringify(record)}\n`
          : `\n${task.name}: ${task.about}; ${name}: ${worker.device}\n\n${profileTable(made)}\n`,
      );
      await worker.close();
    }
  if (!options.json) say(`\nwritten: ${await saveProfiles(options.out, records)}`);
  return 0;
};

/** Does what the command line says; the exit code is 1 where a row failed or is wrong. */
export const runBench = async (options: BenchOptions): Promise<number> => {
  if (options.setup) return setUpPeers(paths.peers);
  if (options.pack) {
    const bytes = await pack(options.pack);
    say(`written: ${options.pack}, ${(bytes / 2 ** 20).toFixed(1)} MiB compressed; there: sh start.sh`);
    return 0;
  }
  if (options.page) {
    await writePage(options.out, paths.docs, say);
    for (const files of [
      await qualityFiles(options.out),
      await quantizedFiles(options.out),
      await loadFiles(options.out),
      await classFiles(options.out),
      await corpusFiles(options.out),
    ])
      for (const [name, text] of files) await writeFileAtomic(join(paths.docs, name), text);
    return 0;
  }
  if (options.profile) return printProfiles(options);
  if (options.roofline) {
    const steps = await plannedSteps();
    process.stdout.write(`${[gpuCells(), stepCells(steps), boundCells(steps)].map(align).join('\n\n')}\n`);
    return 0;
  }
  if (options.task.join() === 'list') {
    list([
      ...groups.flatMap((group) => (group.tasks.length > 1 ? [group, ...group.tasks] : [group])),
      qualityTask,
      serveTask,
      dataTask,
      quantizedTask,
      int8Task,
      ...classTasks,
    ]);
    return 0;
  }
  if (options.stack.join() === 'list') {
    list(stacks);
    return 0;
  }
  if (options.task.join() === serveTask.name) return (await load({ ...options, docs: paths.docs, say })) === 0 ? 0 : 1;
  if (options.task.join() === dataTask.name) {
    await corpus({ ...options, docs: paths.docs, say });
    return 0;
  }
  const failed = options.task.includes(qualityTask.name) ? await quality({ ...options, docs: paths.docs, say }) : 0;
  if (options.task.includes(quantizedTask.name)) await quantized({ ...options, docs: paths.docs, say });
  if (options.task.includes(int8Task.name)) await int8Quality({ ...options, docs: paths.docs, say });
  for (const task of classTasks)
    if (options.task.includes(task.name)) await tellApart(task, { ...options, docs: paths.docs, say });
  const resumable: readonly string[] = [qualityTask, quantizedTask, int8Task, ...classTasks].map(({ name }) => name);
  if (options.task.every((name) => resumable.includes(name)) && options.task.length > 0) return failed === 0 ? 0 : 1;
  const chosen = wantedStacks(options);
  const all: Row[] = [];
  for (const group of wantedGroups(options)) {
    for (const task of group.tasks) {
      const rows = await runTask(task, group, chosen, { ...options, say });
      all.push(...rows);
      if (options.json) for (const row of rows) process.stdout.write(`${jsonLine(row)}\n`);
      else process.stdout.write(`\n${task.name}: ${task.about}\n${table(rows)}\n`);
    }
    if (group.figure && !options.json) process.stdout.write(`\n${summaries[group.figure](all)}\n`);
  }
  if (!options.json) say(`\nwritten: ${(await saveResults(all, machine(), options)).join(', ')}`);
  return failed === 0 && all.every((row) => row.failure === undefined && row.agrees) ? 0 : 1;
};
