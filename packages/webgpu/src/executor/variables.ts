import {
  buildProgram,
  byteSize,
  describe,
  type Program,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { initialData, mebibytes, type Node } from '@peftjs/tensor/executor';
import type { Gpu } from '../device/dawn.ts';
import { captureErrors } from '../device/faults.ts';
import { type Buffers, type Place, tensorUsage } from './buffers.ts';
import { download, upload } from './transfer.ts';
import { packOffsets, storageBytes } from './values.ts';

/** The variables that have storage on a device. */
export interface Variables {
  /** Grows whenever storage is made, moved or released: bindings made before may be stale. */
  readonly version: number;
  /** Whether a variable has storage. */
  has(node: Node): boolean;
  /** Gives storage and initial values to those that have none. */
  ensure(variables: readonly Variable[]): Promise<void>;
  /** Lays the variables of each group end to end, see `packOffsets`; nothing happens to those that lie so. */
  pack(groups: readonly (readonly Variable[])[]): Promise<void>;
  /** Where a variable lies that `ensure` has seen: the same object until it moves. */
  placeOf(node: Node): Place;
  write(variable: Variable, data: TypedArray): Promise<void>;
  release(variables: Iterable<Variable>): void;
}

/** Where a variable lies. */
interface Held {
  readonly place: Place;
}

const bytesOf = (variable: Variable): number => storageBytes(byteSize(variable));

/** The variables of a device. `evaluate` runs a program once: initial values may be graphs. */
export const deviceVariables = (
  { device }: Gpu,
  buffers: Buffers,
  evaluate: (program: Program) => Promise<void>,
): Variables => {
  const stored = new WeakMap<Node, Held>();
  /** A variable that nobody can reach any more, as after a view of a model is dropped, gives its storage back. */
  const collected = new FinalizationRegistry<Held>((held) => vacate(held.place));
  /** How many variables lie in a buffer. */
  const tenants = new Map<GPUBuffer, number>();
  let version = 0;

  const placeOf = (node: Node): Place => stored.get(node)!.place;

  const settle = (node: Node, place: Place): void => {
    const held = { place };
    stored.set(node, held);
    collected.register(node, held, held);
    tenants.set(place.buffer, (tenants.get(place.buffer) ?? 0) + 1);
    version++;
  };

  const leave = (node: Node): void => {
    const held = stored.get(node);
    if (!held) return;
    stored.delete(node);
    collected.unregister(held);
    vacate(held.place);
  };

  const vacate = (place: Place): void => {
    version++;
    const left = tenants.get(place.buffer)! - 1;
    if (left > 0) return void tenants.set(place.buffer, left);
    tenants.delete(place.buffer);
    buffers.free(place.buffer);
  };

  const release = (variables: Iterable<Variable>): void => {
    for (const { node } of variables) leave(node);
  };

  const allocate = async (label: string, bytes: number): Promise<GPUBuffer> => {
    const { result, done } = captureErrors(device, `${label}, ${mebibytes(bytes)}`, () =>
      buffers.allocate('variables', label, bytes, tensorUsage),
    );
    try {
      await done;
    } catch (error) {
      buffers.free(result);
      throw error;
    }
    return result;
  };

  /** Makes storage and fills it; a variable whose value can't be made keeps none. */
  const fill = async (variable: Variable, data: TypedArray | null): Promise<void> => {
    const { node } = variable;
    if (!stored.has(node))
      settle(node, {
        buffer: await allocate(`variable ${node.name} [${describe(variable)}]`, bytesOf(variable)),
        offset: 0,
      });
    try {
      if (data) await upload(device.queue, placeOf(node), data);
    } catch (error) {
      release([variable]);
      throw error;
    }
  };

  /** Values of a tensor, for initialisers that make theirs of others. What it is computed of goes again, unless it was there before or is `wanted`. */
  const compute = async (t: Tensor, wanted: readonly Variable[]): Promise<TypedArray> => {
    const held = variable('computed', t.shape, t, t.dtype);
    const kept = new Set(wanted.map(({ node }) => node));
    const passing = buildProgram({ outputs: { t } }).variables.filter(
      ({ node }) => !stored.has(node) && !kept.has(node),
    );
    try {
      await ensure([held]);
      return await download(device, buffers, placeOf(held.node), t);
    } finally {
      release([held, ...passing]);
    }
  };

  const ensure = async (variables: readonly Variable[]): Promise<void> => {
    const graphs: (readonly [Variable, Tensor])[] = [];
    try {
      for (const one of variables) {
        if (stored.has(one.node)) continue;
        const data = await initialData(one, (t) => compute(t, variables));
        await fill(one, data);
        if (!data) graphs.push([one, one.node.init as Tensor]);
      }
      // One program for all of them: what they share is computed once.
      if (graphs.length > 0) await evaluate(buildProgram({ updates: graphs }));
    } catch (error) {
      release(graphs.map(([variable]) => variable));
      throw error;
    }
  };

  const packOne = async (group: readonly Variable[]): Promise<void> => {
    const { offsets, bytes } = packOffsets(group.map(bytesOf));
    await ensure(group);
    const first = placeOf(group[0]!.node);
    const lies = ({ node }: Variable, i: number): boolean => {
      const { buffer, offset } = placeOf(node);
      return buffer === first.buffer && offset === first.offset + offsets[i]!;
    };
    // The last one's part of the buffer must be whole, too: a kernel binds all of it.
    if (group.every(lies) && first.buffer.size >= first.offset + bytes) return;
    const buffer = await allocate(`variable ${group[0]!.node.name} and ${group.length - 1} more`, bytes);
    const encoder = device.createCommandEncoder();
    for (const [i, variable] of group.entries()) {
      const { buffer: from, offset } = placeOf(variable.node);
      encoder.copyBufferToBuffer(from, offset, buffer, offsets[i]!, bytesOf(variable));
    }
    device.queue.submit([encoder.finish()]);
    for (const [i, { node }] of group.entries()) {
      leave(node);
      settle(node, { buffer, offset: offsets[i]! });
    }
  };

  return {
    get version() {
      return version;
    },
    has: (node) => stored.has(node),
    ensure,
    pack: async (groups) => {
      for (const group of groups) await packOne(group);
    },
    placeOf,
    write: fill,
    release,
  };
};
