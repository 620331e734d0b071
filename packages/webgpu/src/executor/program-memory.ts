import type { MemoryKind } from '@peftjs/tensor';
import { type ConstantNode, mebibytes, type Node } from '@peftjs/tensor/executor';
import { captureErrors } from '../device/faults.ts';
import { type Buffers, tensorUsage, usage } from './buffers.ts';
import type { Commands } from './commands.ts';
import type { Schedule } from './schedule.ts';
import { upload } from './transfer.ts';
import { storageBytes, type Value } from './values.ts';

/** The device memory of one program: planned buffers, constants and parameters. */
export interface ProgramMemory {
  /** Planned buffers, by their index in the plan. */
  readonly slots: readonly GPUBuffer[];
  readonly params: GPUBuffer | null;
  readonly constants: ReadonlyMap<Node, GPUBuffer>;
  close(): void;
}

/** The constants that kernels or results read from buffers. */
const constantsIn = (commands: Commands<unknown>, results: readonly Value[]): Map<ConstantNode, Value> => {
  const read = commands.byStep
    .flat()
    .flatMap((c) => (c.kind === 'launch' ? c.values : c.kind === 'copy' ? [c.from] : []));
  return new Map(
    [...read, ...results].flatMap((v) =>
      v.home !== 'pool' && v.home.kind === 'constant' ? [[v.home, v] as const] : [],
    ),
  );
};

/** Bytes of a program's own memory, before any is taken. */
export const programBytes = ({ memory }: Schedule, commands: Commands<unknown>, results: readonly Value[]): number =>
  memory.buffers.reduce((n, bytes) => n + bytes, 0) +
  [...constantsIn(commands, results).values()].reduce((n, value) => n + value.bytes, 0) +
  (commands.params.length > 0 ? storageBytes(commands.params.length) : 0);

/** By planned buffer, for messages: the largest tensor that takes it, and how many more do at other times. */
const tenantsOf = ({ lives, memory }: Schedule): string[] => {
  const tenants = memory.buffers.map((): Value[] => []);
  for (const [i, value] of [...lives.keys()].entries()) tenants[memory.bufferOf[i]!]!.push(value);
  return tenants.map((values) => {
    const [first, ...more] = values.sort((a, b) => b.bytes - a.bytes);
    return `${first!.label}${more.length > 0 ? ` and ${more.length} more` : ''}`;
  });
};

/** Takes the memory of a program and fills in what stays the same. Throws `out-of-memory`, with nothing kept. */
export const takeMemory = async (
  device: GPUDevice,
  buffers: Buffers,
  schedule: Schedule,
  commands: Commands,
  results: readonly Value[],
): Promise<ProgramMemory> => {
  const own: GPUBuffer[] = [];
  const errors: Promise<void>[] = [];
  // Each by itself, so that the error names what there was no memory for.
  const take = (kind: MemoryKind, label: string, bytes: number, use: number): GPUBuffer => {
    const { result, done } = captureErrors(device, `${label}, ${mebibytes(bytes)}`, () =>
      buffers.allocate(kind, label, bytes, use),
    );
    own.push(result);
    errors.push(done);
    return result;
  };
  const close = (): void => {
    for (const buffer of own.splice(0)) buffers.free(buffer);
  };
  try {
    const tenants = tenantsOf(schedule);
    const result = {
      slots: schedule.memory.buffers.map((bytes, i) => take('temporaries', tenants[i]!, bytes, tensorUsage)),
      constants: new Map(
        [...constantsIn(commands, results)].map(
          ([node, value]) => [node, take('constants', value.label, value.bytes, tensorUsage)] as const,
        ),
      ),
      params:
        commands.params.length > 0
          ? take('parameters', 'parameters', storageBytes(commands.params.length), usage.uniform | usage.copyTarget)
          : null,
    };
    await Promise.all(errors);
    for (const [node, buffer] of result.constants) await upload(device.queue, { buffer, offset: 0 }, node.data);
    if (result.params) device.queue.writeBuffer(result.params, 0, commands.params);
    return { ...result, close };
  } catch (error) {
    await Promise.allSettled(errors);
    close();
    throw error;
  }
};
