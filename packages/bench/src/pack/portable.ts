import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Values } from '../agreement.ts';
import { machine } from '../machine.ts';
import { paths } from '../paths.ts';
import { saveResults } from '../report/results.ts';
import { table } from '../report/table.ts';
import type { Row } from '../run/measure.ts';
import { runTask } from '../run/run-task.ts';
import { stacks } from '../stacks/catalog.ts';
import { groups } from '../tasks/catalog.ts';
import { checkKernels } from './check-kernels.ts';

// The program of a packed bench: kernels, then tasks, then a file of results.

const usage = `sh start.sh [options]: checks every kernel of the GPU that is here against the reference, and measures the WebGPU tasks.
  --task NAMES      with commas between (default: ${'lora-small,lora-large,qlora-large,full-small,generate-small,matmul'})
  --stack NAMES     (default: ours-webgpu, and PyTorch on CUDA and on the CPU where python3 has torch, transformers and peft)
  --rounds N        turns of each stack (default 5)
  --seconds S       length of a turn (default 2)
  --ops NAMES       check the kernels of these alone
  --as-hardware     on a software adapter, check the variants for GPUs
  --no-kernels      leave the kernels out
  --no-tasks        leave the tasks out
`;

const { values } = parseArgs({
  options: {
    task: { type: 'string', default: 'lora-small,lora-large,qlora-large,full-small,generate-small,matmul' },
    stack: { type: 'string', default: 'ours-webgpu,torch,torch-cuda,torch-cuda-bf16' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    ops: { type: 'string', default: '' },
    'as-hardware': { type: 'boolean', default: false },
    'no-kernels': { type: 'boolean', default: false },
    'no-tasks': { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const listed = (text: string): string[] => text.split(',').filter(Boolean);

const above0 = (name: 'rounds' | 'seconds'): number => {
  const value = Number(values[name]);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new Error(`--${name} is a number above 0, not '${values[name]}'`);
};

const known = (names: readonly string[], all: readonly string[], what: string): void => {
  const wrong = names.filter((name) => !all.includes(name));
  if (wrong.length > 0) throw new Error(`there is no ${what} ${wrong.join(', ')}; there are ${all.join(', ')}`);
};

/** The first results of PyTorch on the CPU, which do not depend on the machine. */
const references = async (): Promise<Readonly<Record<string, Values>>> => {
  const file = join(paths.app, 'references.json');
  return existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Record<string, Values>) : {};
};

/** The Python that is here, where it has what the peers need. */
const findPython = (): void => {
  const { status } = spawnSync('python3', ['-c', 'import torch, transformers, peft'], { stdio: 'ignore' });
  if (status === 0) process.env['PEFTJS_BENCH_PYTHON'] ??= 'python3';
};

const main = async (): Promise<number> => {
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const [names, wanted] = [listed(values.task), listed(values.stack)];
  const sets = groups.flatMap((group) => [
    group,
    ...group.tasks.map((task) => ({ ...group, name: task.name, tasks: [task] })),
  ]);
  known(
    names,
    sets.map(({ name }) => name),
    'task',
  );
  known(
    wanted,
    stacks.map(({ name }) => name),
    'stack',
  );
  const settings = { rounds: above0('rounds'), seconds: above0('seconds'), budget: 40, limit: 1800 };
  const threads = availableParallelism();
  const kernels = values['no-kernels']
    ? undefined
    : await checkKernels(say, { names: listed(values.ops), asHardware: values['as-hardware'] });
  if (kernels) {
    const { device, ops, samples, runs, failures } = kernels;
    process.stdout.write(
      `kernels on ${device}: ${ops} ops, ${samples} samples, ${runs} runs, ${failures.length} wrong\n`,
    );
    for (const text of failures) process.stdout.write(`  ${text}\n`);
  }
  findPython();
  const chosen = stacks.filter((stack) => {
    if (!wanted.includes(stack.name)) return false;
    const why = stack.missing(paths.peers);
    if (why) say(`left out: ${stack.name} (${why})`);
    return !why;
  });
  const rows: Row[] = [];
  const right = await references();
  if (!values['no-tasks'])
    for (const group of names.map((name) => sets.find((set) => set.name === name)!))
      for (const task of group.tasks) {
        const reference = right[task.name];
        const own = await runTask(task, group, chosen, {
          ...settings,
          threads,
          toggles: [],
          say,
          ...(reference && { reference }),
        });
        rows.push(...own);
        process.stdout.write(`\n${task.name}: ${task.about}\n${table(own)}\n`);
      }
  const command = ['sh start.sh', ...process.argv.slice(2)].join(' ');
  const written = await saveResults(
    rows,
    machine(),
    { ...settings, threads, toggles: [], out: paths.results, command },
    kernels,
  );
  say(`\nwritten: ${written.join(', ')}`);
  return (kernels?.failures.length ?? 0) === 0 && rows.every((row) => row.failure === undefined && row.agrees) ? 0 : 1;
};

process.exit(await main());
