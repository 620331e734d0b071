import type * as exporting from '@peftjs/export';
import type * as onnx from '@peftjs/onnx';
import { PeftError } from '@peftjs/tensor';

/** The package is imported where it is used, by a name that bundlers do not follow: it is for Node, and a page must not hold it. */
const loaded = async <T>(who: string, name: string): Promise<T> => {
  try {
    return (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as T;
  } catch (cause) {
    throw new PeftError(
      'device-unavailable',
      `${who}: ${name}, which brings ONNX Runtime, could not be loaded. It is for Node; in a page use webgpu(). In a bundled program, install ${name} beside it.`,
      { cause },
    );
  }
};

const onnxFor = (who: string): Promise<typeof onnx> => loaded(who, '@peftjs/onnx');

/**
 * The executor on the CPU, through ONNX Runtime; that of `@peftjs/onnx`, loaded when it is called. Throws `device-unavailable` where that can't be, as in
 * a page; else as there.
 */
export const cpu: typeof onnx.cpu = async (options) => (await onnxFor('cpu')).cpu(options);

/** Writes graphs as an `.onnx` file; that of `@peftjs/onnx`, loaded when it is called. Throws `device-unavailable` where that can't be; else as there. */
export const exportOnnx: typeof onnx.exportOnnx = async (...given) =>
  (await onnxFor('exportOnnx')).exportOnnx(...given);

/** Makes the files of an ONNX model of free sizes; that of `@peftjs/onnx`, loaded when it is called. Throws `device-unavailable` where that can't be; else as there. */
export const onnxFiles: typeof onnx.onnxFiles = async (...given) => (await onnxFor('onnxFiles')).onnxFiles(...given);

/** Writes a model as an ONNX folder; that of `@peftjs/export`, loaded when it is called. Throws `device-unavailable` where that can't be; else as there. */
export const exportModel: typeof exporting.exportModel = async (...given) =>
  (await loaded<typeof exporting>('exportModel', '@peftjs/export')).exportModel(...given);
