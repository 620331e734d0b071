import type * as onnx from '@peftjs/onnx';
import { PeftError } from '@peftjs/tensor';

/** The package is imported where it is used, by a name that bundlers do not follow: it is for Node, and a page must not hold it. */
const loaded = async (who: string, name = '@peftjs/onnx'): Promise<typeof onnx> => {
  try {
    return (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof onnx;
  } catch (cause) {
    throw new PeftError(
      'device-unavailable',
      `${who}: @peftjs/onnx, which brings ONNX Runtime, could not be loaded. It is for Node; in a page use webgpu(). In a bundled program, install @peftjs/onnx beside it.`,
      { cause },
    );
  }
};

/**
 * The executor on the CPU, through ONNX Runtime; that of `@peftjs/onnx`, loaded when it is called. Throws `device-unavailable` where that can't be, as in
 * a page; else as there.
 */
export const cpu: typeof onnx.cpu = async (options) => (await loaded('cpu')).cpu(options);

/** Writes graphs as an `.onnx` file; that of `@peftjs/onnx`, loaded when it is called. Throws `device-unavailable` where that can't be; else as there. */
export const exportOnnx: typeof onnx.exportOnnx = async (...given) => (await loaded('exportOnnx')).exportOnnx(...given);
