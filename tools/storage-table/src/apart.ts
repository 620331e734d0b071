import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { softwareGpuEnv } from '@peftjs/testkit/software-gpu';

/** An executor of the table. */
export type Device = 'cpu' | 'webgpu';

/** Steps of LoRA on one base in a process of its own. */
export interface Alone {
  readonly tokensPerSecond: number;
  /** The most that the process had resident while it trained, in bytes. */
  readonly resident: number;
  /** The adapter or the processor, as the executor calls it. */
  readonly device: string;
}

/** Runs the steps of a row in a process of their own; without a GPU on the software adapter of the tests. */
export const apart = async (name: string, device: Device): Promise<Alone> => {
  const child = fileURLToPath(new URL('./alone.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=@peftjs/source', '--import', 'tsx', child, name, device],
    { env: { ...process.env, ...(device === 'webgpu' && (await softwareGpuEnv())) } },
  );
  return JSON.parse(stdout) as Alone;
};
