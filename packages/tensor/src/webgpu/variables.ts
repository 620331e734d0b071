import type { TypedArray } from '../dtype.ts';
import { byteSize, initialData, type Node, type Tensor, type Variable } from '../graph.ts';
import { buildProgram, type Program } from '../program.ts';
import { type Buffers, tensorUsage } from './buffers.ts';
import type { Gpu } from './dawn.ts';
import { captureErrors } from './faults.ts';
import { upload } from './transfer.ts';
import { storageBytes } from './values.ts';

/** The variables that have storage on a device. */
export interface Variables {
  /** Grows whenever storage is made or released: bindings made before may be stale. */
  readonly version: number;
  /** Whether a variable has storage. */
  has(node: Node): boolean;
  /** Gives storage and initial values to those that have none. */
  ensure(variables: readonly Variable[]): Promise<void>;
  /** The storage of a variable that `ensure` has seen. */
  bufferOf(node: Node): GPUBuffer;
  write(variable: Variable, data: TypedArray): Promise<void>;
  release(variables: Iterable<Variable>): void;
}

/** The variables of a device. `evaluate` runs a program once: initial values may be graphs. */
export const deviceVariables = (
  { device }: Gpu,
  buffers: Buffers,
  evaluate: (program: Program) => Promise<void>,
): Variables => {
  const stored = new Map<Node, GPUBuffer>();
  let version = 0;

  const release = (variables: Iterable<Variable>): void => {
    for (const { node } of variables) {
      const buffer = stored.get(node);
      if (!buffer) continue;
      stored.delete(node);
      buffers.free(buffer);
      version++;
    }
  };

  /** Makes storage and fills it; a variable whose value can't be made keeps none. */
  const fill = async (variable: Variable, data: TypedArray | null): Promise<void> => {
    const { node } = variable;
    const label = `variable ${node.name}`;
    try {
      const { result, done } = captureErrors(
        device,
        label,
        () => stored.get(node) ?? buffers.allocate('variables', label, storageBytes(byteSize(variable)), tensorUsage),
      );
      stored.set(node, result);
      version++;
      await done;
      if (data) await upload(device.queue, result, data);
    } catch (error) {
      release([variable]);
      throw error;
    }
  };

  const ensure = async (variables: readonly Variable[]): Promise<void> => {
    const graphs: (readonly [Variable, Tensor])[] = [];
    try {
      for (const variable of variables) {
        if (stored.has(variable.node)) continue;
        const data = await initialData(variable);
        await fill(variable, data);
        if (!data) graphs.push([variable, variable.node.init as Tensor]);
      }
      // One program for all of them: what they share is computed once.
      if (graphs.length > 0) await evaluate(buildProgram({ updates: graphs }));
    } catch (error) {
      release(graphs.map(([variable]) => variable));
      throw error;
    }
  };

  return {
    get version() {
      return version;
    },
    has: (node) => stored.has(node),
    ensure,
    bufferOf: (node) => stored.get(node)!,
    write: fill,
    release,
  };
};
