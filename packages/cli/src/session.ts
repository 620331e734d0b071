import { type Executor, PeftError } from '@peftjs/tensor';
import type { BaseOptions } from './base.ts';
import { openDevice } from './device.ts';
import { numberIn } from './sampling.ts';
import { openTuned, type Tuned } from './tuned.ts';

/** Flags as they were given. */
export type BaseFlags = Readonly<Record<string, unknown>>;

/** A model that was loaded, and the executor that it runs on. */
export interface Session extends Tuned {
  readonly executor: Executor;
}

const oneOf = <T extends string>(options: BaseFlags, name: string, words: readonly T[]): T | undefined => {
  const value = options[name];
  if (value === undefined || words.includes(value as T)) return value as T | undefined;
  throw new PeftError('bad-option', `--${name} is ${String(value)}; there are ${words.join(', ')}`);
};

const formats = ['int8', 'int4', 'nf4', 'fp4', 'fp8', 'hqq'] as const;

/** The base that flags ask for. Throws `bad-option`. */
export const baseOptions = (options: BaseFlags): BaseOptions => ({
  model: options['model'] as string | undefined,
  quantize: oneOf(options, 'quantize', formats),
});

/** Opens the device that flags ask for. Throws `bad-option`, and as `openDevice`. */
export const deviceOf = (options: BaseFlags, worker = false): Promise<Executor> =>
  openDevice(oneOf(options, 'device', ['cpu', 'webgpu'] as const), {
    threads: numberIn(options, 'threads', true),
    worker,
  });

/** Opens the device that flags ask for, works on it, and closes it. Throws as `deviceOf`, and as the work does. */
export const withDevice = async <T>(options: BaseFlags, work: (executor: Executor) => Promise<T>): Promise<T> => {
  const executor = await deviceOf(options);
  try {
    return await work(executor);
  } finally {
    await executor.close();
  }
};

/** Loads what paths and flags name, works with it, and closes the device. Throws as `openTuned`, and as the work does. */
export const withSession = async <T>(
  paths: readonly string[],
  options: BaseFlags,
  work: (session: Session) => Promise<T>,
): Promise<T> => {
  const tuned = await openTuned(paths, baseOptions(options));
  return withDevice(options, (executor) => work({ ...tuned, executor }));
};
