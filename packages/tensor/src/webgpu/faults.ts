/// <reference types="@webgpu/types" />
import { PeftError } from '../error.ts';

/** What went wrong on a device outside any call that could have thrown it. */
export interface Faults {
  /** Throws the first fault, if there is one: `device-lost`, `out-of-memory` or `device-error`. */
  check(): void;
}

/** An error that WebGPU reported, as one of ours: `out-of-memory` or `device-error`. */
const gpuError = (where: string, error: GPUError): PeftError => {
  const memory = error.constructor.name === 'GPUOutOfMemoryError';
  const remedy = memory
    ? 'use a smaller batch or context, or checkpoint()'
    : 'this is a bug of the kernel or of the driver; report it with the adapter';
  return new PeftError(
    memory ? 'out-of-memory' : 'device-error',
    `webgpu: ${where}: ${error.message.trim()}; ${remedy}`,
    { cause: error },
  );
};

/** Keeps the first fault of a device: its loss, or an error that no scope caught. */
export const watchFaults = (device: GPUDevice, adapter: string): Faults => {
  let fault: PeftError | null = null;
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    fault ??= gpuError(adapter, (event as GPUUncapturedErrorEvent).error);
  });
  void device.lost.then(({ reason, message }) => {
    const why = reason === 'destroyed' ? 'it was closed' : message.trim();
    fault = new PeftError(
      'device-lost',
      `webgpu: the device ${adapter} is gone: ${why}; open a new executor, variables start from their initial values`,
    );
  });
  return {
    check: () => {
      if (fault) throw fault;
    },
  };
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
