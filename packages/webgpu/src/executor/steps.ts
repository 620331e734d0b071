import { describe, PeftError, type Program, type Spec, type Tensor } from '@peftjs/tensor';
import { byName, mebibytes, nodeFlops, type OpNode, outputOf } from '@peftjs/tensor/executor';
import type { DeviceFacts, Dispatch, Kernel, KernelIo, KernelPlan } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { fuse, type Unit } from './fuse.ts';
import { fusedKernel, withEpilogue } from './fused-kernel.ts';
import type { Arranged, Strides } from './layouts.ts';
import type { Pack } from './packs.ts';
import { type SharedPasses, sharedPasses } from './shared-passes.ts';
import { scratch, type Value, type ValueTable } from './values.ts';

/** A kernel over values. */
export interface DispatchStep {
  readonly kind: 'dispatch';
  /** The op and its shapes, for messages and profiles. */
  readonly label: string;
  readonly dispatch: Dispatch;
  /** By the buffer names of the dispatch. */
  readonly values: Readonly<Record<string, Value>>;
  /** Floating-point operations. */
  readonly flops: number;
  /** For each output, the inputs whose storage it may take. */
  readonly inPlace: Readonly<Record<string, readonly string[]>>;
}

/** Bytes moved from one value to another of the same size. */
export interface CopyStep {
  readonly kind: 'copy';
  readonly from: Value;
  readonly to: Value;
  /** Default: all of `to`. */
  readonly bytes?: number;
}

/** A value whose memory is zeroed. */
export interface ClearStep {
  readonly kind: 'clear';
  readonly to: Value;
}

/** The steps of a run, one after the other. */
export type Step = DispatchStep | CopyStep | ClearStep;

const bound = (step: DispatchStep, access: 'read' | 'read_write'): Value[] =>
  step.dispatch.bindings.flatMap((b) => (b.access === access ? [step.values[b.buffer]!] : []));

/** The values that a step needs to be there. */
export const readsOf = (step: Step): Value[] =>
  step.kind === 'dispatch' ? bound(step, 'read') : step.kind === 'copy' ? [step.from] : [];

/** The values that a step may change. */
export const writesOf = (step: Step): Value[] => (step.kind === 'dispatch' ? bound(step, 'read_write') : [step.to]);

/** The properties of the device that lowering depends on. */
export interface DeviceShape {
  readonly facts: DeviceFacts;
  /** Storage buffers that a kernel may bind. */
  readonly maxBindings: number;
}

const labelOf = ({ op, inputs }: OpNode): string =>
  `${op.name}(${inputs.flatMap((t) => (t ? [describe(t)] : [])).join(', ')})`;

const planOf = (
  program: Program,
  node: OpNode,
  inputs: Readonly<Record<string, Spec>>,
  strides: Strides,
  { facts }: DeviceShape,
): KernelPlan => {
  const kernel = kernelOf(node.op) as Extract<Kernel<string, unknown>, { kind: 'dispatch' }>;
  const io: KernelIo<string> = {
    inputs,
    outs: node.outs.map((out, i) => (program.isUsed(node, i) ? out : null)),
    strides,
  };
  return kernel.plan(io, node.attrs, facts);
};

const checkBindings = (
  label: string,
  { bindings }: Dispatch,
  values: Readonly<Record<string, Value>>,
  { maxBindings, facts: { maxBindingBytes = Number.POSITIVE_INFINITY } }: DeviceShape,
): void => {
  const unknown = bindings.filter((b) => !values[b.buffer]).map((b) => b.buffer);
  if (unknown.length > 0)
    throw new PeftError(
      'device-error',
      `webgpu: the kernel of ${label} binds ${unknown.join(', ')}; it has ${Object.keys(values).join(', ')}`,
    );
  const large = bindings.find((b) => (b.window ?? values[b.buffer]!).bytes > maxBindingBytes);
  if (large)
    throw new PeftError(
      'out-of-memory',
      `webgpu: the kernel of ${label} reads ${values[large.buffer]!.label}, ${mebibytes(values[large.buffer]!.bytes)}, as a whole, ` +
        `and this adapter binds ${mebibytes(maxBindingBytes)} at once; use a smaller batch or context, or the cpu executor`,
    );
  if (bindings.length > maxBindings)
    throw new PeftError(
      'device-error',
      `webgpu: the kernel of ${label} binds ${bindings.length} buffers, this adapter allows ${maxBindings}; split the kernel`,
    );
};

/** An op's operations by dispatch: what those say that know, the rest in equal parts. */
const shareFlops = (dispatches: readonly Dispatch[], total: number): number[] => {
  const known = dispatches.reduce((n, d) => n + (d.flops ?? 0), 0);
  const unknown = dispatches.filter((d) => d.flops === undefined).length;
  return dispatches.map((d) => d.flops ?? Math.max(0, total - known) / unknown);
};

const kernelSteps = (
  { program, stridesOf }: Arranged,
  node: OpNode,
  unit: Unit,
  table: ValueTable,
  device: DeviceShape,
  shared: SharedPasses,
): Step[] => {
  const named = byName<Tensor>(node.op, node.inputs);
  const {
    dispatches,
    temps = {},
    inPlace = {},
    startsFrom = {},
  } = planOf(program, node, named, stridesOf(node), device);
  const values: Record<string, Value> = {};
  for (const [name, t] of Object.entries(named)) values[name] = table.of(t);
  for (const index of node.outs.keys())
    if (program.isUsed(node, index)) values[`out${index}`] = table.of(outputOf(node, index));
  for (const [name, bytes] of Object.entries(temps)) values[name] = scratch(`${name} of ${node.op.name}`, bytes);
  const copies = Object.entries(startsFrom).map(
    ([out, input]): CopyStep => ({ kind: 'copy', from: values[input]!, to: values[out]! }),
  );
  const flops = shareFlops(dispatches, nodeFlops(node, program));
  const kernels = dispatches.flatMap((plain, i): Step[] => {
    if (shared.isDone(plain, dispatches, temps, values)) return [];
    const joined = unit.members.length > 0 && plain.emits === 'out0' ? withEpilogue(unit, plain) : null;
    const dispatch = joined?.dispatch ?? plain;
    const own = dispatch.label ?? node.op.name;
    const label = own.startsWith(node.op.name)
      ? own.replace(node.op.name, labelOf(node))
      : `${own} of ${labelOf(node)}`;
    const bound = joined ? { ...values, ...valuesOf(joined.tensors, table) } : values;
    checkBindings(label, dispatch, bound, device);
    if (dispatch.workgroups === 0) return [];
    const extra = joined ? flopsOfAll(unit.members, program) : 0;
    return [
      {
        kind: 'dispatch',
        label,
        dispatch,
        values: bound,
        flops: flops[i]! + extra,
        inPlace: joined ? { ...inPlace, ...joined.inPlace } : inPlace,
      },
    ];
  });
  return [...copies, ...kernels];
};

const valuesOf = (tensors: Readonly<Record<string, Tensor>>, table: ValueTable): Record<string, Value> =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, table.of(t)]));

const flopsOfAll = (nodes: readonly OpNode[], program: Program): number =>
  nodes.reduce((n, node) => n + nodeFlops(node, program), 0);

/**
 * Lowers the ops of a program to steps, elementwise ones fused. A pack stands where its last member would, or at the end where it updates
 * variables, since all that read them want the old values. Throws `device-error` where a kernel does not fit the
 * adapter.
 */
export const lowerOps = (
  arranged: Arranged,
  packs: readonly Pack[],
  table: ValueTable,
  device: DeviceShape,
): (Step | Pack)[] => {
  const shared = sharedPasses();
  const packOf = new Map(packs.flatMap((pack) => pack.members.map((node) => [node, pack] as const)));
  const steps = fuse(arranged.program, device.maxBindings, device.facts.maxBindingBytes).flatMap(
    (unit): (Step | Pack)[] => {
      const pack = unit.kernel && packOf.get(unit.kernel);
      if (pack) return unit.kernel === pack.members.at(-1) && !pack.packing.updates ? [pack] : [];
      if (unit.kernel) return kernelSteps(arranged, unit.kernel, unit, table, device, shared);
      const { dispatches, tensors, inPlace } = fusedKernel(unit, device.facts.maxBindingBytes);
      const values = valuesOf(tensors, table);
      const flops = flopsOfAll(unit.members, arranged.program) / dispatches.length;
      return dispatches.map((dispatch): Step => {
        checkBindings(dispatch.label!, dispatch, values, device);
        return { kind: 'dispatch', label: dispatch.label!, dispatch, values, flops, inPlace };
      });
    },
  );
  return [...steps, ...packs.filter((pack) => pack.packing.updates)];
};
