import type { Place } from './buffers.ts';
import type { Commands, LaunchCommand, Work } from './commands.ts';
import type { Value } from './values.ts';

/** A launch or a copy with its buffers in place. */
export type BoundCommand =
  | {
      readonly kind: 'launch';
      readonly label: string;
      readonly pipeline: GPUComputePipeline;
      readonly group: GPUBindGroup;
      readonly x: number;
      readonly y: number;
      readonly work: Work;
    }
  | {
      readonly kind: 'copy';
      readonly label: string;
      readonly from: Place;
      readonly to: Place;
      readonly bytes: number;
    }
  | { readonly kind: 'clear'; readonly label: string; readonly to: Place; readonly bytes: number };

type Launch = Extract<BoundCommand, { kind: 'launch' }>;

/** Where the values of a program lie. */
export interface Places {
  placeOf(value: Value): Place;
  readonly params: GPUBuffer | null;
  /** A buffer of at least so many bytes to copy by way of, where both ends lie in one: WebGPU copies only between two. */
  detour(bytes: number): GPUBuffer;
}

const bindLaunch = (
  device: GPUDevice,
  { label, pipeline, launch, values, windows, params, work }: LaunchCommand,
  places: Places,
): BoundCommand => {
  const storage = values.map((value, binding): GPUBindGroupEntry => {
    const { buffer, offset } = places.placeOf(value);
    const { offset: from, bytes: size } = windows[binding] ?? { offset: 0, bytes: value.bytes };
    return { binding, resource: { buffer, offset: offset + from, size } };
  });
  const uniform: GPUBindGroupEntry = {
    binding: values.length,
    resource: { buffer: places.params!, offset: params.at, size: params.bytes },
  };
  const group = device.createBindGroup({ label, layout: pipeline.layout, entries: [...storage, uniform] });
  return { kind: 'launch', label, pipeline: pipeline.pipeline, group, x: launch.x, y: launch.y, work };
};

/** Makes the bind groups of all commands, by step. */
export const bindCommands = (device: GPUDevice, { byStep }: Commands, places: Places): BoundCommand[][] =>
  byStep.map((commands) =>
    commands.flatMap((c): BoundCommand | BoundCommand[] => {
      if (c.kind === 'launch') return bindLaunch(device, c, places);
      const to = places.placeOf(c.to);
      if (c.kind === 'clear') return { kind: 'clear', label: `zeros in ${c.to.label}`, to, bytes: c.to.bytes };
      const from = places.placeOf(c.from);
      const { bytes } = c;
      const label = `the copy of ${c.from.label} to ${c.to.label}`;
      if (from.buffer !== to.buffer) return { kind: 'copy', label, from, to, bytes };
      const between = { buffer: places.detour(bytes), offset: 0 };
      return [
        { kind: 'copy', label, from, to: between, bytes },
        { kind: 'copy', label, from: between, to, bytes },
      ];
    }),
  );

/** Records commands, launches in one pass as long as no copy stands between them. */
export const encodeCommands = (encoder: GPUCommandEncoder, commands: Iterable<BoundCommand>): void => {
  let pass: GPUComputePassEncoder | null = null;
  let current: GPUComputePipeline | null = null;
  for (const command of commands) {
    if (command.kind !== 'launch') {
      pass?.end();
      pass = current = null;
      encodeTransfer(encoder, command);
      continue;
    }
    pass ??= encoder.beginComputePass();
    if (command.pipeline !== current) pass.setPipeline(command.pipeline);
    current = command.pipeline;
    launch(pass, command);
  }
  pass?.end();
};

const encodeTransfer = (encoder: GPUCommandEncoder, command: Exclude<BoundCommand, Launch>): void => {
  const { to, bytes } = command;
  if (command.kind === 'clear') encoder.clearBuffer(to.buffer, to.offset, bytes);
  else encoder.copyBufferToBuffer(command.from.buffer, command.from.offset, to.buffer, to.offset, bytes);
};

const launch = (pass: GPUComputePassEncoder, { group, x, y }: Launch): void => {
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(x, y);
};

/** Records commands with each launch in a pass of its own, between two timestamps: the n-th launch writes queries 2n and 2n + 1. */
export const encodeTimed = (
  encoder: GPUCommandEncoder,
  commands: Iterable<BoundCommand>,
  queriesOf: (launch: number) => { readonly set: GPUQuerySet; readonly first: number },
): void => {
  let count = 0;
  for (const command of commands) {
    if (command.kind !== 'launch') {
      encodeTransfer(encoder, command);
      continue;
    }
    const { set, first } = queriesOf(count++);
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet: set, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 },
    });
    pass.setPipeline(command.pipeline);
    launch(pass, command);
    pass.end();
  }
};

/** The first item that WebGPU's validation rejects when each is tried by itself. */
const firstRejected = async <T>(
  device: GPUDevice,
  items: readonly T[],
  attempt: (item: T) => void,
): Promise<T | undefined> => {
  const verdicts = items.map((item) => {
    device.pushErrorScope('validation');
    attempt(item);
    return device.popErrorScope();
  });
  const at = (await Promise.all(verdicts)).findIndex((error) => error !== null);
  return items[at];
};

/** The kernel or copy that WebGPU's validation rejects: encodes each by itself, to tell which one an error is about. */
export const findRejected = async (device: GPUDevice, commands: readonly BoundCommand[]): Promise<string | null> => {
  const found = await firstRejected(device, commands, (command) => {
    const encoder = device.createCommandEncoder();
    encodeCommands(encoder, [command]);
    encoder.finish();
  });
  return found?.label ?? null;
};

/** The kernel whose buffers WebGPU refuses to bind. */
export const findUnbindable = async (
  device: GPUDevice,
  { byStep }: Commands,
  places: Places,
): Promise<string | null> => {
  const launches = byStep.flat().filter((c) => c.kind === 'launch');
  const found = await firstRejected(device, launches, (command) => void bindLaunch(device, command, places));
  return found?.label ?? null;
};
