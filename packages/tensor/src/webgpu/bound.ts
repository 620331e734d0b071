import { type BoundCommand, bindCommands } from './encode.ts';
import { captureErrors } from './faults.ts';
import type { Host } from './host.ts';
import type { Poison } from './poison.ts';
import type { Prepared } from './prepared.ts';

/** The commands of a run with their bind groups: before the results are read, and after. */
export interface Bound {
  readonly run: readonly BoundCommand[];
  readonly tail: readonly BoundCommand[];
}

const bind = ({ device }: Host, { schedule, commands, memory, bufferOf }: Prepared, poison: Poison | null): Bound => {
  const byStep = bindCommands(device, commands, { bufferOf, params: memory.params });
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
export const boundCommands = (host: Host, prepared: Prepared, poison: Poison | null): { current(): Promise<Bound> } => {
  const { variables } = host;
  const leaves = prepared.program.variables;
  let bound: Bound | null = null;
  let version = -1;
  let at: readonly GPUBuffer[] = [];
  return {
    current: async () => {
      while (version !== variables.version) {
        version = variables.version;
        await variables.ensure(leaves);
      }
      const now = leaves.map(({ node }) => variables.bufferOf(node));
      if (bound && now.every((buffer, i) => buffer === at[i])) return bound;
      const { result, done } = captureErrors(host.device, 'bindings', () => bind(host, prepared, poison));
      await done;
      bound = result;
      at = now;
      return bound;
    },
  };
};
