/// <reference types="@webgpu/types" />
import { isPeftError, PeftError } from '@peftjs/tensor';

/** The fault of a device outside any call that could have thrown it. */
export interface Faults {
  /** Throws the first fault, if there is one: `device-lost`, `out-of-memory` or `device-error`. */
  check(): void;
  /** The last work that the device was given, for the message of its loss. */
  note(work: () => string): void;
}

/** The request that there was no memory for, by the error that told it. */
const unfit = new WeakMap<object, string>();

/** An error that WebGPU reported, as one of ours: `out-of-memory` or `device-error`. */
const gpuError = (where: string, error: GPUError): PeftError => {
  const words = error.message.trim();
  if (error.constructor.name !== 'GPUOutOfMemoryError')
    return new PeftError(
      'device-error',
      `webgpu: ${where}: ${words}; this is a bug of the kernel or of the driver; report it with the adapter`,
      { cause: error },
    );
  const full = new PeftError(
    'out-of-memory',
    `webgpu: the device has no memory for ${where} (${words}); use a smaller batch or context, or recompute: true`,
    { cause: error },
  );
  unfit.set(full, where);
  return full;
};

/** The request that there was no memory for, of an `out-of-memory` of `captureErrors`; undefined for any other error. */
export const whatDidNotFit = (error: unknown): string | undefined =>
  isPeftError(error) ? unfit.get(error) : undefined;

/** Keeps the first fault of a device: its loss, or an error that no scope caught. */
export const watchFaults = (device: GPUDevice, adapter: string): Faults => {
  let fault: PeftError | null = null;
  let last: (() => string) | null = null;
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    fault ??= gpuError(adapter, (event as GPUUncapturedErrorEvent).error);
  });
  void device.lost.then(({ reason, message }) => {
    const why = reason === 'destroyed' ? 'it was closed' : message.trim() || 'the driver does not say why';
    const work = last ? `; the last it was given is ${last()}` : '';
    fault = new PeftError(
      'device-lost',
      `webgpu: the device ${adapter} is gone: ${why}${work}; open a new executor and load what was saved, for what variables held is lost`,
    );
  });
  return {
    check: () => {
      if (fault) throw fault;
    },
    note: (work) => {
      last = work;
    },
  };
};

/**
 * The error to throw for a failure of work on a device: its fault where it has one, since that explains the rest; a `device-error` for what
 * WebGPU threw; anything else as it is.
 */
export const explainFault = ({ check }: Faults, error: unknown): unknown => {
  try {
    check();
  } catch (fault) {
    return fault;
  }
  if (!(error instanceof DOMException)) return error;
  const words = error.message.trim() || error.name;
  return new PeftError('device-error', `webgpu: the device did not do what was asked: ${words}`, { cause: error });
};

const filters = ['validation', 'out-of-memory', 'internal'] as const;

/**
 * Runs `work` and gives its result with a promise that rejects if WebGPU reports an error of what it did. `where`
 * says what that was, or finds out once there is an error.
 */
export const captureErrors = <T>(
  device: GPUDevice,
  where: string | (() => Promise<string>),
  work: () => T,
): { readonly result: T; readonly done: Promise<void> } => {
  for (const filter of filters) device.pushErrorScope(filter);
  let result: T;
  let scopes: Promise<GPUError | null>[] = [];
  try {
    result = work();
  } finally {
    scopes = filters.map(() => device.popErrorScope());
  }
  const settle = async (): Promise<void> => {
    const error = (await Promise.all(scopes)).find((e) => e !== null);
    if (error) throw gpuError(typeof where === 'string' ? where : await where(), error);
  };
  return { result, done: settle() };
};
