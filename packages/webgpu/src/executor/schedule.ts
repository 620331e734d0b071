import type { Program, Variable } from '@peftjs/tensor';
import { checkProgram, type Node } from '@peftjs/tensor/executor';
import { expandPacks, packedVariables } from './arenas.ts';
import { commitUpdates } from './commits.ts';
import { arrange } from './layouts.ts';
import { type Lifetime, type MemoryPlan, planMemory } from './memory-plan.ts';
import { findPacks } from './packs.ts';
import { newPlacement, placeInPlace } from './placement.ts';
import { type CopyStep, type DeviceShape, lowerOps, type Step } from './steps.ts';
import { type Usage, usageOf } from './usage.ts';
import { type Value, type ValueTable, valueTable } from './values.ts';

/** All that is known of a program's run before any memory is taken. */
export interface Schedule {
  /** The program as it is run: some ops have become views. */
  readonly program: Program;
  readonly steps: readonly Step[];
  /** Runs after the results have been read. */
  readonly tail: readonly CopyStep[];
  readonly table: ValueTable;
  /** The value whose memory a value takes. */
  resolve(value: Value): Value;
  readonly memory: MemoryPlan;
  /** When each resolved pool value is needed. */
  readonly lives: ReadonlyMap<Value, Lifetime>;
  /** The planned buffer of a resolved pool value, and where in it; undefined where nothing touches it. */
  slotOf(value: Value): { readonly slot: number; readonly offset: number } | undefined;
  /** Groups of variables that must lie end to end. */
  readonly packed: readonly (readonly Variable[])[];
  /** By the position of a step (the tail follows the run): the planned buffers that hold nothing of use after it. */
  readonly freed: ReadonlyMap<number, readonly number[]>;
}

const lifetimesOf = (
  usage: Usage,
  inputs: ReadonlySet<Value>,
  outputs: ReadonlySet<Value>,
  end: number,
): Map<Value, Lifetime> => {
  const lives = new Map<Value, Lifetime>();
  for (const value of new Set([...usage.values, ...outputs])) {
    if (value.home !== 'pool') continue;
    const touched = [...usage.reads(value), ...usage.writes(value)];
    const from = inputs.has(value) ? -1 : Math.min(...touched, end);
    // Results are read between the last step and the tail; the tail's first position stands for that too.
    const to = Math.max(...touched, outputs.has(value) ? end : -1);
    lives.set(value, { bytes: value.bytes, from, to });
  }
  return lives;
};

/** Lowers a program, places its values and plans its memory. */
export const scheduleProgram = (source: Program, device: DeviceShape): Schedule => {
  checkProgram('webgpu', source);
  const arranged = arrange(source);
  const { program } = arranged;
  const table = valueTable();
  const placement = newPlacement();
  const packs = findPacks(program);
  const packed = packedVariables(packs);
  const lowered = expandPacks(lowerOps(arranged, packs, table, device), {
    program,
    table,
    placement,
    facts: device.facts,
  });
  const done = new Set<Node>(packed.flat().map((v) => v.node));
  const { steps, tail } = commitUpdates(program, table, lowered, placement, done);
  const outputs = new Set([...program.outputs.values()].map((t) => table.of(t)));
  const heldToEnd = new Set([...outputs, ...tail.map((copy) => copy.from)]);
  placeInPlace(steps, placement, heldToEnd);

  const { resolve, partOf, memoryOf } = placement;
  const resolved = (values: Iterable<Value>): Set<Value> => new Set([...values].map(memoryOf));
  const usage = usageOf([...steps, ...tail], memoryOf);
  const lives = lifetimesOf(
    usage,
    resolved(program.inputs.map((node) => table.ofInput(node))),
    resolved(outputs),
    steps.length,
  );
  const memory = planMemory([...lives.values()]);
  const slots = new Map([...lives.keys()].map((value, i) => [value, memory.bufferOf[i]!]));
  const freed = new Map<number, number[]>();
  for (const [value, { to }] of lives) freed.set(to, [...(freed.get(to) ?? []), slots.get(value)!]);
  const slotOf = (value: Value): { readonly slot: number; readonly offset: number } | undefined => {
    const part = partOf(value);
    const slot = slots.get(part?.of ?? value);
    return slot === undefined ? undefined : { slot, offset: part?.offset ?? 0 };
  };
  return { program, steps, tail, table, resolve, memory, lives, slotOf, packed, freed };
};
