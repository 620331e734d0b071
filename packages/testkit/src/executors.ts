import { type Executor, isPeftError, PeftError } from '@peftjs/tensor';
import { afterAll, describe, test } from 'vitest';
import { timeout } from './timeout.ts';

/** An executor that must agree with `reference`: how it is opened, and what is to be done where it is not there. */
interface Candidate {
  /** Imports its package; throws where that is not installed. */
  find(): Promise<() => Promise<Executor>>;
  readonly remedy: string;
}

const candidates: Readonly<Record<string, Candidate>> = {
  cpu: {
    find: async () => {
      const { cpu } = await import('@peftjs/onnx');
      return () => cpu({ threads: 1 });
    },
    remedy: 'npm install --save-dev @peftjs/onnx',
  },
  // Whatever adapter there is: tests may bring a software one.
  webgpu: {
    find: async () => {
      const { webgpu } = await import('@peftjs/webgpu');
      return () => webgpu({ adapter: 'any' });
    },
    remedy:
      "npm install --save-dev @peftjs/webgpu @sparticuz/chromium, and globalSetup: ['@peftjs/testkit/software-gpu'] where there is no GPU",
  },
};

/** Executors that a run must have: names in `PEFTJS_EXECUTORS`. Others are left out where they are not there. */
const required = (name: string): boolean => (process.env['PEFTJS_EXECUTORS'] ?? '').split(',').includes(name);

const isMissing = (error: unknown): boolean => {
  if (isPeftError(error)) return error.code === 'device-unavailable';
  const { code = '' } = Object(error) as { readonly code?: string };
  return code === 'ERR_MODULE_NOT_FOUND' || /Cannot find (package|module)|Failed to resolve/.test(String(error));
};

const opened = new Map<string, Promise<Executor>>();
const missing = new Map<string, string>();

/** Opened once for a test file. Throws `device-unavailable`, with what to install, where it can't be. */
const opening = async (name: string, { find, remedy }: Candidate): Promise<Executor> => {
  try {
    return await (await find())();
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    const text = `the laws ran without ${name}: ${(cause as Error).message}. To have them checked there: ${remedy}`;
    missing.set(name, text);
    throw new PeftError('device-unavailable', text, { cause });
  }
};

let closing = false;

/** By name, what gives each executor, opened once for the test file that asks; they are closed when its tests are over. */
export const openExecutors = (): ReadonlyMap<string, () => Promise<Executor>> => {
  if (!closing)
    afterAll(async () => {
      for (const executor of opened.values()) await (await executor.catch(() => null))?.close();
      opened.clear();
      for (const text of missing.values()) console.warn(text);
      missing.clear();
    });
  closing = true;
  return new Map(
    Object.entries(candidates).map(([name, candidate]) => [
      name,
      () => opened.get(name) ?? opened.set(name, opening(name, candidate)).get(name)!,
    ]),
  );
};

/**
 * A test on an executor. Where that is not there, it is skipped and says why; one that `PEFTJS_EXECUTORS` names (`cpu,webgpu`) must be there.
 */
export const testOn = (
  title: string,
  name: string,
  open: () => Promise<Executor>,
  check: (executor: Executor) => Promise<void>,
): void =>
  test(title, { timeout }, async ({ skip }) => {
    let executor: Executor;
    try {
      executor = await open();
    } catch (error) {
      if (!missing.has(name) || required(name)) throw error;
      return skip(missing.get(name)!);
    }
    await check(executor);
  });

/** A test on every executor beside `reference`. */
export const describeExecutors = (
  subject: string,
  title: string,
  check: (executor: Executor) => Promise<void>,
): void => {
  for (const [name, open] of openExecutors()) describe(`${subject} on ${name}`, () => testOn(title, name, open, check));
};
