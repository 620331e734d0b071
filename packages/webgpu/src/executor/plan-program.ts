import type { Plan, Program } from '@peftjs/tensor';
import type { DeviceFacts } from '../kernel.ts';
import { prepareCommands } from './commands.ts';
import { planOf } from './plan.ts';
import { programBytes } from './program-memory.ts';
import { scheduleProgram } from './schedule.ts';

/** The properties of a GPU that a plan depends on; the GPU need not be there. Defaults: Dawn's on a desktop GPU. */
export interface GpuModel extends Partial<DeviceFacts> {
  /** Storage buffers that a kernel may bind. Default 10. */
  readonly maxBindings?: number;
}

/** The largest binding that fits WebGPU's 32-bit sizes in whole words. */
const twoGibibytes = 2 ** 31 - 4;

/**
 * The plan that the WebGPU executor would make of a program on such a GPU: memory at the peak, kernels, operations, traffic. Nothing is run,
 * no device is opened, and no variable takes its first value, so a model that was only declared can be asked whether it would fit. Throws
 * as `compile` does where a kernel cannot be built for the device.
 */
export const planProgram = async (program: Program, { maxBindings = 10, ...facts }: GpuModel = {}): Promise<Plan> => {
  const schedule = scheduleProgram(program, {
    facts: {
      f16: true,
      subgroups: true,
      dot4: true,
      software: false,
      workgroupMemory: 32768,
      maxInvocations: 1024,
      maxBindingBytes: twoGibibytes,
      ...facts,
    },
    maxBindings,
  });
  const { steps, tail, table, resolve } = schedule;
  const limits = { maxWorkgroups: 65535, uniformAlignment: 256 };
  const commands = await prepareCommands([...steps, ...tail], resolve, async () => null, limits);
  const results = [...schedule.program.outputs.values()].map((tensor) => resolve(table.of(tensor)));
  return planOf(program, schedule, commands, programBytes(schedule, commands, results));
};
