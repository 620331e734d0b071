import { describe, isPeftError, PeftError } from '@peftjs/tensor';
import type { OpNode } from '@peftjs/tensor/executor';

/** The op whose node a message names. */
const culprit = (message: string, origins: ReadonlyMap<string, OpNode>): OpNode | undefined => {
  const name = /Name:'([^']+)'/.exec(message)?.[1] ?? /Node[: ]\s*\(([^)]+)\)/.exec(message)?.[1];
  return name === undefined ? undefined : origins.get(name.split('.')[0]!);
};

/** ONNX Runtime's error as ours: the op and its specs instead of the graph's names. Errors that are ours stay as they are. */
export const explain = (cause: unknown, what: string, origins: ReadonlyMap<string, OpNode>): PeftError => {
  if (isPeftError(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const node = culprit(message, origins);
  const where = node
    ? ` at ${node.op.name}(${node.inputs.flatMap((t) => (t ? [describe(t)] : [])).join(', ')}) -> ${node.outs.map(describe).join(', ')}`
    : '';
  const full = /bad_alloc|allocate memory|out of memory/i.test(message);
  const remedy = full ? '; use a smaller batch, shorter sequences, or checkpoint' : '';
  return new PeftError(
    full ? 'out-of-memory' : 'device-error',
    `cpu: ONNX Runtime could not ${what} the program${where}: ${message}${remedy}`,
    { cause },
  );
};
