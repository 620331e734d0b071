import { isMainThread } from 'node:worker_threads';
import { PeftError } from '@peftjs/tensor';
import type * as Ort from 'onnxruntime-node';

/** onnxruntime-node, loaded. */
export type Runtime = typeof Ort;

/**
 * Loads onnxruntime-node, without its telemetry: from version 1.29 on it would look up a host of Microsoft's, read the machine's id and keep
 * a database in the user's cache, unless `ORT_DISABLE_TELEMETRY` is set before its first session. A value that the user has set is left as
 * it is. To be called on the main thread alone, since assigning to `process.env` of a worker thread does not reach native code.
 * Throws `device-unavailable` where it is not installed or has no binary for this platform.
 */
export const loadRuntime = async (): Promise<Runtime> => {
  if (!isMainThread) throw new PeftError('bad-program', 'cpu: sessions are made on the main thread of a process');
  process.env['ORT_DISABLE_TELEMETRY'] ||= '1';
  try {
    const loaded = (await import('onnxruntime-node')) as Runtime & { readonly default?: Runtime };
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new PeftError(
      'device-unavailable',
      `cpu: onnxruntime-node did not load on ${process.platform} ${process.arch}; npm install onnxruntime-node`,
      { cause },
    );
  }
};
