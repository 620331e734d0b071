import { PeftError, type Program, type Variable } from '@peftjs/tensor';
import { heldBytes } from './plan.ts';

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;

/** The tensors that take most, for messages. */
const largest = (variables: readonly Variable[]): string =>
  [...variables]
    .sort((a, b) => heldBytes(b) - heldBytes(a))
    .slice(0, 3)
    .map((v) => `${v.node.name} [${v.shape}] ${mebibytes(heldBytes(v))}`)
    .join(', ');

/**
 * Checks what a program will allocate before anything is: `scratch` bytes of intermediate values, and the variables that are not held yet.
 * Throws `out-of-memory` with the sizes and what would make it fit.
 */
export const checkMemory = (
  program: Program,
  scratch: number,
  isHeld: (v: Variable) => boolean,
  limit: number,
): void => {
  const fresh = program.variables.filter((v) => !isHeld(v));
  const stored = fresh.reduce((n, v) => n + heldBytes(v), 0);
  if (stored + scratch <= limit) return;
  const parts = [
    `${mebibytes(scratch)} of intermediate values`,
    ...(fresh.length > 0 ? [`${mebibytes(stored)} of variables (${largest(fresh)})`] : []),
  ];
  throw new PeftError(
    'out-of-memory',
    `cpu: the program needs ${mebibytes(stored + scratch)} of memory, ${mebibytes(limit)} are available: ${parts.join(' and ')}. ` +
      'Use a smaller batch, shorter sequences, checkpointing, or a smaller adapter or model.',
  );
};
