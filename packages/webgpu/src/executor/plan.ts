import { byteSize, describe, type Plan, type PlannedKernel, type PlannedTensor, type Program } from '@peftjs/tensor';
import { flopsOf } from '@peftjs/tensor/executor';
import type { Commands, LaunchCommand } from './commands.ts';
import type { Schedule } from './schedule.ts';
import { storageBytes } from './values.ts';

/** The planned values that are alive when most bytes are. */
const aliveAtPeak = ({ lives, steps, tail }: Schedule): PlannedTensor[] => {
  const change = new Float64Array(steps.length + tail.length + 3);
  for (const { from, to, bytes } of lives.values()) {
    change[from + 1]! += bytes;
    change[to + 2]! -= bytes;
  }
  let [now, most, at] = [0, -1, -1];
  change.forEach((bytes, i) => {
    now += bytes;
    if (now > most) [most, at] = [now, i - 1];
  });
  return [...lives].flatMap(([value, { from, to }]) =>
    from <= at && at <= to ? [{ name: value.label, kind: 'temporary', bytes: value.bytes } as const] : [],
  );
};

/** The holders of memory at the peak of a program, largest first; known before any memory is taken. */
const plannedTensors = (program: Program, schedule: Schedule): PlannedTensor[] =>
  [
    ...program.variables.map((v): PlannedTensor => {
      const name = `${v.node.name} [${describe(v)}]`;
      return { name, kind: 'variable', bytes: storageBytes(byteSize(v)) };
    }),
    ...program.constants.map(({ outs: [spec] }): PlannedTensor => {
      const name = `constant [${describe(spec!)}]`;
      return { name, kind: 'constant', bytes: storageBytes(byteSize(spec!)) };
    }),
    ...aliveAtPeak(schedule),
  ].sort((a, b) => b.bytes - a.bytes);

/** Launches joined by label, with the sums of what `add` gives of each. */
export const byLabel = (launches: readonly Pick<LaunchCommand<unknown>, 'label' | 'work'>[]): PlannedKernel[] => {
  const kinds = new Map<string, PlannedKernel>();
  for (const { label: name, work } of launches) {
    const { count, flops, bytes } = kinds.get(name) ?? { count: 0, flops: 0, bytes: 0 };
    kinds.set(name, { name, count: count + 1, flops: flops + work.flops, bytes: bytes + work.bytes });
  }
  return [...kinds.values()].sort((a, b) => b.bytes - a.bytes);
};

/** The plan of a program whose own memory is `ownBytes`. */
export const planOf = (program: Program, schedule: Schedule, { byStep }: Commands<unknown>, ownBytes: number): Plan => {
  const commands = byStep.flat();
  const kernels = byLabel(commands.filter((c) => c.kind === 'launch'));
  const copied = commands.reduce(
    (n, c) => n + (c.kind === 'copy' ? 2 * c.bytes : c.kind === 'clear' ? c.to.bytes : 0),
    0,
  );
  return {
    peakBytes: ownBytes + program.variables.reduce((n, v) => n + storageBytes(byteSize(v)), 0),
    dispatches: kernels.reduce((n, k) => n + k.count, 0),
    flops: flopsOf(program),
    bytesMoved: copied + kernels.reduce((n, k) => n + k.bytes, 0),
    tensors: plannedTensors(program, schedule),
    kernels,
  };
};

/** A run of a program, for messages: how many kernels, and which do most. */
export const describeRun = ({ dispatches, kernels }: Plan): string => {
  const heaviest = [...kernels].sort((a, b) => b.flops - a.flops).slice(0, 3);
  if (heaviest.length === 0) return 'a run without kernels';
  const names = heaviest.map(({ name, count }) => (count > 1 ? `${count} of ${name}` : name));
  return `a run of ${dispatches} kernel${dispatches > 1 ? 's' : ''}, most of its work in ${names.join('; ')}`;
};
