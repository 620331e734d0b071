import type { Value } from '../lower/emitter.ts';
import type { NodeProto } from '../proto/model.ts';

/** Operators whose output is their first input's bytes. */
const views = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze']);

/** Whether a node makes no bytes of its own. */
export const isView = ({ type }: NodeProto): boolean => views.has(type);

/** Operators that write over an input of the output's shape when nothing else reads it: any of the first inputs, so many. */
const overwriting: Readonly<Record<string, number>> = {
  ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div'].map((type) => [type, 2])),
  ...Object.fromEntries(['Softmax', 'LogSoftmax', 'Sigmoid', 'Tanh', 'Relu', 'Exp', 'Log', 'Sqrt'].map((t) => [t, 1])),
  ...Object.fromEntries(['Neg', 'Abs', 'Reciprocal', 'Clip', 'Not', 'ScatterND', 'ScatterElements'].map((t) => [t, 1])),
};

/** Memory of one shape, from the node that first writes to it to the one that last reads it; in between it may be idle. */
export interface Buffer {
  /** The value that it is for first. */
  readonly name: string;
  readonly from: number;
  to: number;
}

/**
 * The buffers of a graph as ONNX Runtime plans them, for nodes in the order of execution: a value takes over an input that dies there, or else
 * memory of the very same shape that has become free, or else new memory. Memory is given back after the last of its values, not between
 * them, so values of one shape are a pool that lives from the first to the last. Results are written where the caller wants them.
 */
export const buffersOf = (
  nodes: readonly NodeProto[],
  results: ReadonlySet<string>,
  values: ReadonlyMap<string, Value>,
): Buffer[] => {
  const owner = new Map<string, string>();
  const ownerOf = (name: string): string => owner.get(name) ?? name;
  const readers = new Map<string, number>();
  for (const { type, inputs, outputs } of nodes) {
    if (views.has(type)) owner.set(outputs[0]!, ownerOf(inputs[0]!));
    else for (const name of inputs) readers.set(ownerOf(name), (readers.get(ownerOf(name)) ?? 0) + 1);
  }
  const outside = new Set([...results].map(ownerOf));
  const kindOf = (name: string): string => `${values.get(name)?.type} ${values.get(name)?.shape}`;
  const held = new Map<string, Buffer>();
  const free = new Map<string, Buffer[]>();
  const buffers: Buffer[] = [];
  nodes.forEach(({ type, inputs, outputs }, at) => {
    if (views.has(type)) return;
    const own = inputs.map(ownerOf);
    const over = own
      .slice(0, overwriting[type] ?? 0)
      .find((name) => held.has(name) && readers.get(name) === 1 && kindOf(name) === kindOf(outputs[0]!));
    for (const name of outputs) {
      if (outside.has(name) || !values.has(name)) continue;
      const taken = over === undefined ? free.get(kindOf(name))?.pop() : held.get(over);
      if (!taken) buffers.push({ name, from: at, to: at });
      held.set(name, taken ?? buffers.at(-1)!);
      if (over !== undefined) held.delete(over);
    }
    for (const name of own) readers.set(name, readers.get(name)! - 1);
    for (const name of new Set([...own, ...outputs])) {
      const buffer = held.get(name);
      if (!buffer) continue;
      buffer.to = at;
      if ((readers.get(name) ?? 0) > 0) continue;
      held.delete(name);
      free.set(kindOf(name), [...(free.get(kindOf(name)) ?? []), buffer]);
    }
  });
  return buffers;
};
