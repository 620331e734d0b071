import { cpus, release, totalmem, type } from 'node:os';

/** The machine that the figures depend on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

/** This machine. */
export const machine = (): Machine => ({
  processor: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryBytes: totalmem(),
  system: `${type()} ${release().split('.').slice(0, 2).join('.')}`,
  node: process.versions.node,
});
