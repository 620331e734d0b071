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
  | { readonly kind: 'copy'; readonly from: GPUBuffer; readonly to: GPUBuffer; readonly bytes: number };

/** Where the values of a program lie. */
export interface Places {
  bufferOf(value: Value): GPUBuffer;
  readonly params: GPUBuffer | null;
}

const bindLaunch = (
  device: GPUDevice,
  { label, pipeline, launch, values, params, work }: LaunchCommand,
  places: Places,
): BoundCommand => {
  const storage = values.map(
    (value, binding): GPUBindGroupEntry => ({
      binding,
      resource: { buffer: places.bufferOf(value), size: value.bytes },
    }),
  );
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
    commands.map((c) =>
      c.kind === 'launch'
        ? bindLaunch(device, c, places)
        : { kind: 'copy', from: places.bufferOf(c.from), to: places.bufferOf(c.to), bytes: c.to.bytes },
    ),
  );

/** Records commands, launches in one pass as long as no copy stands between them. */
export const encodeCommands = (encoder: GPUCommandEncoder, commands: Iterable<BoundCommand>): void => {
  let pass: GPUComputePassEncoder | null = null;
  let current: GPUComputePipeline | null = null;
  for (const command of commands) {
    if (command.kind === 'copy') {
      pass?.end();
      pass = current = null;
      encodeCopy(encoder, command);
      continue;
    }
    pass ??= encoder.beginComputePass();
    if (command.pipeline !== current) pass.setPipeline(command.pipeline);
    current = command.pipeline;
    launch(pass, command);
  }
  pass?.end();
};

const encodeCopy = (encoder: GPUCommandEncoder, { from, to, bytes }: Extract<BoundCommand, { kind: 'copy' }>): void =>
  encoder.copyBufferToBuffer(from, 0, to, 0, bytes);

const launch = (pass: GPUComputePassEncoder, { group, x, y }: Extract<BoundCommand, { kind: 'launch' }>): void => {
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
    if (command.kind === 'copy') {
      encodeCopy(encoder, command);
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

/** The kernel that WebGPU's validation rejects: encodes each by itself, to tell which one an error is about. */
export const findRejected = async (device: GPUDevice, commands: readonly BoundCommand[]): Promise<string | null> => {
  const verdicts = commands.map((command) => {
    device.pushErrorScope('validation');
    const encoder = device.createCommandEncoder();
    encodeCommands(encoder, [command]);
    encoder.finish();
    return device.popErrorScope();
  });
  const at = (await Promise.all(verdicts)).findIndex((error) => error !== null);
  const command = commands[at];
  return command?.kind === 'launch' ? command.label : null;
};
