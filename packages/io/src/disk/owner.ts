import { fromNode } from '../files/from-node.ts';

const { createHash, randomBytes } = fromNode('node:crypto');
const { hostname } = fromNode('node:os');

/** Who writes: a process of a machine. */
export interface Owner {
  /** Eight digits of a hash of the machine's name. */
  readonly host: string;
  readonly pid: number;
}

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** This process. */
export const self: Owner = { host, pid: process.pid };

/** Whether a process is known to have ended: only those of this machine can be. */
export const isGone = (owner: Owner): boolean => {
  if (owner.host !== host || owner.pid === process.pid) return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
};

/** A name for a file that is not whole yet, `.<name>.<host>-<process>-<random>.tmp`, beside where it is to be. */
export const temporaryName = (name: string): string =>
  `.${name}.${host}-${process.pid}-${randomBytes(4).toString('hex')}.tmp`;

/** The parts of a name that `temporaryName` made, and its owner; null for other names. */
export const ownerOfTemporary = (name: string): (Owner & { readonly of: string }) | null => {
  const parts = /^\.(.+)\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp$/.exec(name);
  return parts && { of: parts[1]!, host: parts[2]!, pid: Number(parts[3]) };
};
