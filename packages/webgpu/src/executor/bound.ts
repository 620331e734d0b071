import { captureErrors } from '../device/faults.ts';
import { type Place, tensorUsage } from './buffers.ts';
import { type BoundCommand, bindCommands, findUnbindable, type Places } from './encode.ts';
import type { Host } from './host.ts';
import type { Poison } from './poison.ts';
import type { Prepared } from './prepared.ts';

/** The commands of a run with their bind groups: before the results are read, and after. */
export interface Bound {
  readonly run: readonly BoundCommand[];
  readonly tail: readonly BoundCommand[];
}

const bind = (
  { device }: Host,
  { schedule, commands, memory, placeOf }: Prepared,
  detour: Places['detour'],
  poison: Poison | null,
): Bound => {
  const byStep = bindCommands(device, commands, { placeOf, params: memory.params, detour });
  const end = schedule.steps.length;
  const fill = (slots: readonly number[] = []): BoundCommand[] =>
    poison ? slots.map((i) => poison.fill(memory.slots[i]!)) : [];
  const withFills = byStep.map((step, at) => (at < end ? [...step, ...fill(schedule.freed.get(at))] : step));
  return {
    run: withFills.slice(0, end).flat(),
    // Results and what the tail copies are of use until here.
    tail: [...withFills.slice(end).flat(), ...fill([...memory.slots.keys()])],
  };
};

/** Keeps bind groups as long as variables stay where they are; `current` makes them anew after that. */
export const boundCommands = (
  host: Host,
  prepared: Prepared,
  poison: Poison | null,
): { current(): Promise<Bound>; close(): void } => {
  const { variables } = host;
  const leaves = prepared.program.variables;
  let bound: Bound | null = null;
  let version = -1;
  let at: readonly Place[] = [];
  const detours: GPUBuffer[] = [];
  const close = (): void => {
    for (const buffer of detours.splice(0)) host.buffers.free(buffer);
  };
  const detour = (bytes: number): GPUBuffer => {
    const free = detours.find((buffer) => buffer.size >= bytes);
    if (free) return free;
    detours.push(host.buffers.allocate('temporaries', 'detour', bytes, tensorUsage));
    return detours.at(-1)!;
  };
  return {
    close,
    current: async () => {
      while (version !== variables.version) {
        version = variables.version;
        await variables.pack(prepared.schedule.packed);
        await variables.ensure(leaves);
      }
      const now = leaves.map(({ node }) => variables.placeOf(node));
      if (bound && now.every((place, i) => place === at[i])) return bound;
      const { commands, memory, placeOf } = prepared;
      const culprit = async (): Promise<string> => {
        const found = await findUnbindable(host.device, commands, { placeOf, params: memory.params, detour });
        return found ? `the buffers of ${found}` : 'the bindings of a program';
      };
      const { result, done } = captureErrors(host.device, culprit, () => {
        close();
        return bind(host, prepared, detour, poison);
      });
      await done;
      bound = result;
      at = now;
      return bound;
    },
  };
};
