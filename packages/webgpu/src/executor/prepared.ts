import type { Plan, Program, Tensor } from '@peftjs/tensor';
import type { Place } from './buffers.ts';
import { type Commands, prepareCommands } from './commands.ts';
import { commandLimits, type Host } from './host.ts';
import { planOf } from './plan.ts';
import { type ProgramMemory, programBytes, takeMemory } from './program-memory.ts';
import { type Schedule, scheduleProgram } from './schedule.ts';
import { checkFits, explained } from './shortage.ts';
import type { Value } from './values.ts';

/** A program with its kernels compiled and its memory taken. */
export interface Prepared {
  readonly program: Program;
  readonly schedule: Schedule;
  readonly commands: Commands;
  readonly memory: ProgramMemory;
  readonly plan: Plan;
  readonly outputs: ReadonlyMap<string, { readonly tensor: Tensor; readonly value: Value }>;
  /** Where a resolved value lies now; variables may move between runs. */
  placeOf(value: Value): Place;
}

/** Lowers a program; where kernels are to be chosen by time, once more when that has been taken. */
const scheduleOn = async ({ gpu, device: { limits }, options, tuner }: Host, program: Program): Promise<Schedule> => {
  const lower = (): Schedule =>
    scheduleProgram(program, {
      facts: {
        ...gpu.facts,
        maxBindingBytes: options.maxBindingBytes ?? limits.maxStorageBufferBindingSize,
        ...(tuner && { choose: tuner.choose }),
      },
      maxBindings: limits.maxStorageBuffersPerShaderStage,
    });
  const schedule = lower();
  return (await tuner?.settle()) ? lower() : schedule;
};

/** Lowers a program, compiles its kernels and takes its memory. */
export const prepareProgram = async (host: Host, program: Program): Promise<Prepared> => {
  const { device, buffers, pipelines, variables, options } = host;
  const schedule = await scheduleOn(host, program);
  const { steps, tail, table, resolve, slotOf } = schedule;
  const commands = await prepareCommands([...steps, ...tail], resolve, pipelines.get, commandLimits(host));
  const outputs = new Map(
    [...schedule.program.outputs].map(([name, tensor]) => [name, { tensor, value: resolve(table.of(tensor)) }]),
  );
  const results = [...outputs.values()].map(({ value }) => value);
  const plan = planOf(program, schedule, commands, programBytes(schedule, commands, results));
  const fresh = program.variables.filter(({ node }) => !variables.has(node));
  checkFits(program, plan, fresh, {
    now: buffers.report().now,
    limit: options.memoryLimit ?? Number.POSITIVE_INFINITY,
  });
  const memory = await explained(program, plan, () => takeMemory(device, buffers, schedule, commands, results));
  return {
    program,
    schedule,
    commands,
    memory,
    plan,
    outputs,
    placeOf: (value) => {
      const { home } = value;
      if (home === 'pool') {
        const { slot, offset } = slotOf(value)!;
        return { buffer: memory.slots[slot]!, offset };
      }
      if (home.kind === 'pack') return variables.placeOf(home.variables[0]!.node);
      return home.kind === 'constant' ? { buffer: memory.constants.get(home)!, offset: 0 } : variables.placeOf(home);
    },
  };
};
