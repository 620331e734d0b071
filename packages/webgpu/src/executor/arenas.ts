import { byteSize, type Program, type Spec, type Tensor, type Variable } from '@peftjs/tensor';
import { nodeFlops } from '@peftjs/tensor/executor';
import type { DeviceFacts, Kernel, KernelIo } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { inputsOf, type Pack, resultOf, variablesOf } from './packs.ts';
import type { Placement } from './placement.ts';
import { type CopyStep, readsOf, type Step, writesOf } from './steps.ts';
import { usageOf } from './usage.ts';
import { packOffsets, scratch, type Value, type ValueTable } from './values.ts';

/** The facts about tensors that laying them end to end depends on. */
export interface ArenaScope {
  readonly program: Program;
  readonly table: ValueTable;
  readonly placement: Placement;
  readonly facts: DeviceFacts;
}

/** Steps, some of them still packs. */
export type Pending = readonly (Step | Pack)[];

const isPack = (step: Step | Pack): step is Pack => 'members' in step;

/** The tensors that a pack reads end to end and does not write. */
const readAlong = ({ packing, members }: Pack): readonly (readonly [string, readonly Tensor[]])[] =>
  packing.along
    .filter((name) => !Object.values(packing.updates ?? {}).includes(name))
    .map((name) => [name, members.map((node) => inputsOf(node)[name]!)]);

/** Values that may lie inside a buffer with others: made by kernels of this program, and by none that reads another of them. */
const movable = (steps: readonly Step[], wanted: ReadonlySet<Value>, { program, table }: ArenaScope): Set<Value> => {
  const usage = usageOf(steps);
  const fixed = new Set([
    ...program.inputs.map((node) => table.ofInput(node)),
    ...[...program.outputs.values()].map((t) => table.of(t)),
  ]);
  const mixed = new Set<Value>();
  for (const step of steps) {
    const written = writesOf(step).filter((v) => wanted.has(v));
    if (readsOf(step).some((v) => wanted.has(v) && !written.includes(v))) for (const v of written) mixed.add(v);
  }
  return new Set(
    [...wanted].filter((v) => v.home === 'pool' && !fixed.has(v) && !mixed.has(v) && usage.writes(v).length > 0),
  );
};

/** Values end to end in one buffer, and copies of those that can't be made there. */
interface Arena {
  readonly memory: Value;
  readonly sources: readonly Value[];
  readonly offsets: readonly number[];
  readonly copies: readonly CopyStep[];
  /** Whether something lies between the values that is not one. */
  readonly gaps: boolean;
}

/** Lays the values that packs read into arenas: those that several packs read together lie in an order that suits all, where there is one. */
const layOut = (packs: readonly Pack[], steps: readonly Step[], scope: ArenaScope): Map<Pack, Map<string, Arena>> => {
  const { table, placement } = scope;
  const lists = packs.flatMap((pack) =>
    readAlong(pack).map(([name, tensors]) => ({ pack, name, tensors, values: tensors.map((t) => table.of(t)) })),
  );
  const free = movable(steps, new Set(lists.flatMap(({ values }) => values)), scope);
  const made = new Map<Pack, Map<string, Arena>>();
  // The longest first: shorter ones are found inside.
  const order = [...lists].sort((a, b) => b.values.length - a.values.length);
  const laid: Arena[] = [];
  for (const { pack, name, tensors, values } of order) {
    const inside = laid.find(({ sources }) => values.every((v, i) => sources[sources.indexOf(values[0]!) + i] === v));
    const arena = inside ?? build(pack, name, tensors, values);
    if (!inside) laid.push(arena);
    (made.get(pack) ?? made.set(pack, new Map()).get(pack)!).set(name, inside ? within(inside, values) : arena);
  }
  return made;

  function build(pack: Pack, name: string, tensors: readonly Tensor[], values: readonly Value[]): Arena {
    const { offsets, bytes } = packOffsets(values.map((v) => v.bytes));
    const memory = scratch(`${name} of ${pack.members.length} ${pack.members[0]!.op.name}`, bytes);
    const copies: CopyStep[] = [];
    for (const [i, value] of values.entries()) {
      const own = free.delete(value) ? value : scratch(`copy of ${value.label}`, value.bytes);
      if (own !== value) copies.push({ kind: 'copy', from: value, to: own, bytes: byteSize(tensors[i]!) });
      placement.placeIn(own, memory, offsets[i]!);
    }
    const gaps = tensors.reduce((n, t) => n + byteSize(t), 0) !== bytes;
    return { memory, sources: values, offsets, copies, gaps };
  }

  function within({ memory, sources, offsets, gaps }: Arena, values: readonly Value[]): Arena {
    const at = sources.indexOf(values[0]!);
    const end = at + values.length;
    const range = scratch(memory.label, (offsets[end] ?? memory.bytes) - offsets[at]!);
    placement.placeIn(range, memory, offsets[at]!);
    return { memory: range, sources: values, offsets: [], copies: [], gaps };
  }
};

/** One dispatch for all members of a pack. */
const packedSteps = (pack: Pack, arenas: ReadonlyMap<string, Arena>, { program, table, facts }: ArenaScope): Step[] => {
  const { members, packing } = pack;
  const [first] = members;
  const op = first!.op;
  const variables = variablesOf(pack);
  const values: Record<string, Value> = {};
  const inputs: Record<string, Spec> = {};
  const flat = (bytes: number): Spec => ({ shape: [bytes / 4], dtype: 'f32' });
  for (const [name, t] of Object.entries(inputsOf(first!))) {
    const along = arenas.get(name)?.memory ?? (variables[name] && table.ofPack(variables[name]));
    values[name] = along ?? table.of(t);
    inputs[name] = along ? flat(along.bytes) : t;
  }
  const outs = first!.outs.map((out, i): Spec => {
    const target = packing.updates?.[`out${i}`];
    values[`out${i}`] = target === undefined ? table.of(resultOf(pack)) : values[target]!;
    return target === undefined ? out : inputs[target]!;
  });
  const kernel = kernelOf(op) as Extract<Kernel<string, unknown>, { kind: 'dispatch' }>;
  const io: KernelIo<string> = { inputs, outs };
  const { dispatches, temps = {}, inPlace = {} } = kernel.plan(io, first!.attrs, facts);
  for (const [name, bytes] of Object.entries(temps)) values[name] = scratch(`${name} of ${op.name}`, bytes);
  const flops = members.reduce((n, node) => n + nodeFlops(node, program), 0) / dispatches.length;
  return dispatches.map((dispatch) => {
    const label = `${dispatch.label ?? op.name} of ${members.length} tensors`;
    return { kind: 'dispatch', label, dispatch, values, flops, inPlace };
  });
};

/** Turns packs into steps; their tensors then lie end to end, the gaps between zeroed where a kernel would see them. */
export const expandPacks = (pending: Pending, scope: ArenaScope): Step[] => {
  const packs = pending.filter(isPack);
  if (packs.length === 0) return pending as readonly Step[] as Step[];
  const steps = pending.filter((s): s is Step => !isPack(s));
  const arenas = layOut(packs, steps, scope);
  const { partOf } = scope.placement;
  const gaps = new Set(
    [...arenas.values()].flatMap((own) => [...own.values()].flatMap((a) => (a.gaps ? [a.memory] : []))),
  );
  const cleared = new Set<Value>();
  const clear = (step: Step): Step[] =>
    writesOf(step).flatMap((v): Step[] => {
      const memory = partOf(v)?.of;
      if (!memory || !gaps.has(memory) || cleared.has(memory)) return [];
      cleared.add(memory);
      return [{ kind: 'clear', to: memory }];
    });
  return pending.flatMap((step): Step[] => {
    if (!isPack(step)) return [...clear(step), step];
    const own = arenas.get(step)!;
    const copies = [...own.values()].flatMap((a) => a.copies);
    return [...copies.flatMap((copy) => [...clear(copy), copy]), ...packedSteps(step, own, scope)];
  });
};

/** The variables that packs write, as groups that must lie end to end. */
export const packedVariables = (packs: readonly Pack[]): readonly (readonly Variable[])[] =>
  packs.flatMap((pack) => Object.values(variablesOf(pack)));
